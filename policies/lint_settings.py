"""Checks of detectors, thresholds and redactions: numbers nobody chose, and replacements that do not do their work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final

from guards.registry import build
from guards.rules.base import RuleGuard
from guards.rules.reach import reach
from guards.rules.secret_patterns import NAMED
from guards.verdict import PPM, Part, Scope
from policies.matchers import All, Any, AnyCategory, Matcher, Not, OnlyCategories, Score
from policies.model import Action, DetectorSpec, Rule
from policies.pinned import PinError
from policies.remarks import Remarks
from policies.replacements import TOKEN_PLACE, filled
from policies.settings import STREAMED_SCOPES
from policies.sheet import Sheet
from policies.spoken import share

_WORD: Final = re.compile(r"\{\d+,(?:256)?\}")
"""How often a character of a value may come."""
_SPACED: Final = ("bearer", "password_assignment")
"""Secrets with white space between their name and their value."""


def extreme_threshold(sheet: Sheet) -> Iterator[Remarks]:
    """0 is reached by everything, 1 by almost nothing."""
    for name, spec in sheet.policy.detectors.items():
        ends = {"": spec.threshold_ppm} if sheet.says(name, "threshold") else {}
        for code, ppm in (ends | dict(spec.category_thresholds)).items():
            if ppm in (0, PPM):
                place = sheet.detector(name, "categories" if code else "threshold")
                what = f"threshold {share(ppm)} of `{name}`" + (f" for {code}" if code else "")
                reached = "reached by every text" if ppm == 0 else "reached by almost no text"
                yield place, f"{what} is {reached}", "choose one with `gatehouse calibrate`"


def uncalibrated(sheet: Sheet) -> Iterator[Remarks]:
    """A rule goes by a number that the file itself calls a guess."""
    for name, spec in sheet.policy.detectors.items():
        place = sheet.detector(name, "threshold")
        if not sheet.says(name, "threshold") or "uncalibrated" not in sheet.comment(place).lower():
            continue
        rules = [rule.id for rule in sheet.acting() if _goes_by(rule, spec)]
        if rules:
            told = f"`{', '.join(rules)}` goes by the threshold of `{name}`, which the file calls uncalibrated"
            yield place, told, "run `gatehouse calibrate` on texts like yours"


def _goes_by(rule: Rule, spec: DetectorSpec) -> bool:
    return any(_asks_threshold(matcher, spec) for matcher in (rule.when, rule.unless) if matcher is not None)


def _asks_threshold(matcher: Matcher, spec: DetectorSpec) -> bool:
    if isinstance(matcher, All | Any):
        return any(_asks_threshold(child, spec) for child in matcher.children)
    if isinstance(matcher, Not):
        return _asks_threshold(matcher.child, spec)
    if isinstance(matcher, Score):
        return matcher.detector == spec.name and spec.threshold_ppm in (matcher.least, matcher.most + 1)
    return isinstance(matcher, AnyCategory | OnlyCategories) and matcher.detector == spec.name


def shadow_only(sheet: Sheet) -> Iterator[Remarks]:
    """A detector that costs its time and decides nothing."""
    enforcing = frozenset[str]().union(*(rule.detectors() for rule in sheet.acting()))
    for name in sheet.policy.detectors:
        if name not in enforcing:
            told = f"detector `{name}` is asked by rules in shadow or rules that allow only"
            yield sheet.detector(name), told, "remember it when the trial is over"


def corpus_changed(sheet: Sheet) -> Iterator[Remarks]:
    """A policy loads without its corpora, so only here and in `policy eval` is a wrong one noticed."""
    for entry in sheet.policy.evals:
        try:
            entry.data()
        except PinError as exc:
            yield entry.place, f"corpus `{entry.corpus.path}`: {exc}", "pin the file that is meant"


# --- redactions ---


def _redacting(sheet: Sheet) -> Iterator[Rule]:
    return (rule for rule in sheet.policy.rules if rule.do.action is Action.REDACT)


def breaks_json(sheet: Sheet) -> Iterator[Remarks]:
    """Inside the arguments of a tool call, what is put in has to leave them JSON."""
    for rule in _redacting(sheet):
        if Scope.TOOL_CALL in rule.scopes and rule.do.replacement and re.search(r'["\\\x00-\x1f]', rule.do.replacement):
            told = f"what rule `{rule.id}` puts into `tool_call` breaks JSON: then the call is blocked in its place"
            yield sheet.rule(rule, "do"), told, "leave quotes, `\\` and line breaks out of `as`"


def found_again(sheet: Sheet) -> Iterator[Remarks]:
    """What is put in is found by the detector that took something out."""
    finds = cache(lambda name, text: _finds(guards(name), text))
    guards = cache(lambda name: _guard(sheet.policy.detectors[name]))
    for rule in _redacting(sheet):
        for name in sorted(rule.when.detectors()):
            texts = {_put_in(rule, label) for label in _labels(sheet.policy.detectors[name]) or ("removed",)}
            if any(finds(name, text) for text in sorted(texts)):
                told = f"`{name}` finds what rule `{rule.id}` puts in, so the text is redacted or stopped again"
                yield sheet.rule(rule, "do"), told, "choose another `as`"
                break


def _put_in(rule: Rule, label: str) -> str:
    return filled(rule.do.replacement, label, "").replace(TOKEN_PLACE, "abcdefghijkl")


def _guard(spec: DetectorSpec) -> RuleGuard:
    guard = build(spec.use, spec.options, {})
    assert isinstance(guard, RuleGuard)  # only these find places, which `redact` needs
    return guard


def _finds(guard: RuleGuard, text: str) -> bool:
    (verdict,) = guard.judge_now([Part(Scope.USER, "", "user", text)])
    return bool(verdict.spans)


def _labels(spec: DetectorSpec) -> tuple[str, ...]:
    for key in ("find", "families", "label"):
        option = spec.options.get(key)
        if option is not None:
            return (option,) if isinstance(option, str) else tuple(option) if isinstance(option, tuple) else ()
    return ()


def short_holdback(sheet: Sheet) -> Iterator[Remarks]:
    """Secrets that only their name gives away: the name has to be there still when the value comes."""
    stream = sheet.policy.stream
    if stream.mode != "window":
        return
    known_after = cache(lambda name: _known_after(sheet.policy.detectors[name]))
    for rule in _redacting(sheet):
        if rule.buffers or not rule.scopes & STREAMED_SCOPES:
            continue
        names = [name for name in sorted(rule.when.detectors()) if sheet.policy.detectors[name].use == "secrets"]
        longest = max((known_after(name) for name in names), default=(0, ""))
        if longest[0] > stream.holdback_chars:
            told = (
                f"rule `{rule.id}` redacts `{longest[1]}`, whose value may begin {longest[0]} characters after its "
                f"name does, and `holdback` keeps {stream.holdback_chars}"
            )
            yield sheet.stream("holdback"), told, "raise `holdback`: a secret of which a part has left stops the answer"


def _known_after(spec: DetectorSpec) -> tuple[int, str]:
    """The kind of secret with the longest way from its name to its value, which is a word: words are kept whole."""
    begun = {label: reach(_WORD.sub("{1}", NAMED[label])) for label in _SPACED}
    found = [(begun[label], label) for label in _labels(spec) if label in begun]
    return max(((int(chars), label) for chars, label in found if chars != float("inf")), default=(0, ""))


SETTING_CHECKS: Final[Mapping[str, Callable[[Sheet], Iterator[Remarks]]]] = {
    "extreme-threshold": extreme_threshold,
    "uncalibrated": uncalibrated,
    "shadow-only": shadow_only,
    "corpus-changed": corpus_changed,
    "breaks-json": breaks_json,
    "found-again": found_again,
    "short-holdback": short_holdback,
}
