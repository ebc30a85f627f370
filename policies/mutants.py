"""A policy with one small mistake in it, systematically: what its tests ought to notice.

Each mistake is one that a person makes: a rule or a scope forgotten, a bound moved by a step, an exception left out, a
milder or a stricter action, one value of a list or one of several conditions missing. What comes of it is a policy like
any other. Mistakes in detectors are those of the bounds that rules ask of them; their patterns are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from guards.verdict import PPM, Scope
from policies.actions import Action, Do
from policies.matchers import ALWAYS, All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score, combined
from policies.model import Mode, Policy, Rule
from policies.read_matchers import MANY
from policies.spoken import leaf, share

STEP: Final = 50_000
"""By which a bound on a score is moved, in parts per million."""
_MOST: Final = 8
"""Of the values of one list, those that are left out in turn."""
_FLAG: Final = Do(Action.FLAG, queue="mutant", severity="low")
_NOTE: Final = Do(Action.ANNOTATE, field="mutant")
_BLOCK: Final = Do(Action.BLOCK, code="mutant")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    rule: str
    key: str
    """Of the rule, where the mistake is."""
    told: str
    """What it is, after the rule's name."""
    policy: Policy = field(repr=False)


def mutants(policy: Policy) -> Iterator[Mutant]:
    """All of them, by rule. Rules that are off have none."""
    for rule in policy.rules:
        if rule.mode is Mode.OFF and rule.until is None:
            continue
        others = tuple(one for one in policy.rules if one is not rule)
        yield Mutant(rule.id, "id", "taken away", replace(policy, rules=others))
        for key, told, changed in _changed(rule, _missed(policy, rule)):
            rules = tuple(changed if one is rule else one for one in policy.rules)
            yield Mutant(rule.id, key, told, replace(policy, rules=rules))


_Change = tuple[str, str, Rule]


def _missed(policy: Policy, rule: Rule) -> frozenset[Scope]:
    """Scopes where it would be missed: a rule that allows is not, where another one looks at every part."""
    if rule.do.action is not Action.ALLOW:
        return rule.scopes
    others = {scope: [one for one in policy.plan(scope).enforcing if one.id != rule.id] for scope in rule.scopes}
    return frozenset(scope for scope, rules in others.items() if not any(one.looks_always() for one in rules))


def _changed(rule: Rule, scopes: frozenset[Scope]) -> Iterator[_Change]:
    for scope in sorted(scopes) if len(rule.scopes) > 1 else ():
        yield "on", f"does not look at `{scope}`", replace(rule, scopes=rule.scopes - {scope})
    if rule.mode is Mode.SHADOW:
        yield "mode", "acts and is no trial", replace(rule, mode=Mode.ENFORCE, until=None)
    if rule.unless is not None:
        yield "unless", "without `unless`", replace(rule, unless=None)
        for told, unless in _moved(rule.unless):
            yield "unless", told, replace(rule, unless=unless)
    if rule.when is not ALWAYS:
        for told, when in _moved(rule.when):
            yield "when", told, replace(rule, when=when)
    for told, do in _done_otherwise(rule.do):
        yield "do", told, replace(rule, do=do)


def _done_otherwise(do: Do) -> Iterator[tuple[str, Do]]:
    if do.action > Action.FLAG:
        yield "only flags", _FLAG
        if do.queue:
            yield "without its flag", replace(do, queue="", severity="")
    elif do.action is Action.FLAG:
        yield "only annotates", _NOTE
    if Action.ALLOW < do.action < Action.BLOCK:
        yield "blocks", _BLOCK
    if do.before_audit:
        yield "without `before_audit`", replace(do, before_audit=False)


# --- conditions ---


def _moved(matcher: Matcher) -> Iterator[tuple[str, Matcher]]:
    """Each with one mistake somewhere in it."""
    if isinstance(matcher, All | Any):
        yield from _in_several(matcher)
    elif isinstance(matcher, Not):
        yield from ((told, Not(child)) for told, child in _moved(matcher.child))
    elif isinstance(matcher, Score):
        yield from _scores(matcher)
    elif isinstance(matcher, Count):
        yield from _counts(matcher)
    elif isinstance(matcher, Fact):
        for value in sorted(matcher.values)[:_MOST] if len(matcher.values) > 1 else ():
            yield _without(value, matcher), Fact(matcher.name, matcher.values - {value})
    elif isinstance(matcher, AnyCategory):
        for code in sorted(matcher.thresholds)[:_MOST] if len(matcher.thresholds) > 1 else ():
            others = {one: bound for one, bound in matcher.thresholds.items() if one != code}
            yield _without(code, matcher), AnyCategory(matcher.detector, MappingProxyType(others))
    elif isinstance(matcher, OnlyCategories):
        for code in sorted(matcher.allowed)[:_MOST] if len(matcher.allowed) > 1 else ():
            yield _without(code, matcher), replace(matcher, allowed=matcher.allowed - {code})


def _in_several(matcher: All | Any) -> Iterator[tuple[str, Matcher]]:
    for index, child in enumerate(matcher.children):
        others = (*matcher.children[:index], *matcher.children[index + 1 :])
        if others:
            what = f"`{leaf(child)}`" if not isinstance(child, All | Any | Not) else f"its condition {index + 1}"
            yield f"without {what}", combined(type(matcher), others)
        for told, moved in _moved(child):
            yield told, combined(type(matcher), (*others, moved))


def _scores(score: Score) -> Iterator[tuple[str, Matcher]]:
    """Which of the two bounds was written is told by the other, which is an end of the scale."""
    spoken = leaf(score)
    for move in (-STEP, STEP):
        if score.least > 0 and 0 < score.least + move <= PPM:
            moved = score.least + move
            yield f"`{spoken}` moved to {share(moved)}", Score(score.detector, moved, score.most)
        if score.most < PPM and 0 <= score.most + move < PPM:
            moved = score.most + move
            yield f"the upper bound of `{spoken}` moved by {share(abs(move))}", replace(score, most=moved)


def _counts(count: Count) -> Iterator[tuple[str, Matcher]]:
    spoken = leaf(count)
    if count.least > 0:
        yield f"`{spoken}` moved to {count.least + 1}", replace(count, least=count.least + 1)
    if count.least > 1:
        yield f"`{spoken}` moved to {count.least - 1}", replace(count, least=count.least - 1)
    if count.most < MANY:
        yield f"the upper bound of `{spoken}` moved by 1", replace(count, most=count.most + 1)
    for label in sorted(count.labels)[:_MOST] if len(count.labels) > 1 else ():
        yield _without(label, count), replace(count, labels=count.labels - {label})


def _without(value: str, matcher: Matcher) -> str:
    return f"`{leaf(matcher)}` without `{value}`"
