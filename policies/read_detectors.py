"""`detectors:` of a policy file: a guard named and configured, checked against what that guard can do.

A detector that has a problem still has its name, so that the rules that use it are not reported as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from guards.errors import GuardSetupError
from guards.options import VIEWS
from guards.profiles.generative import GenerativeProfile
from guards.profiles.known import PROFILES
from guards.rules.base import RuleGuard
from guards.rules.checksums import CHECKS
from guards.rules.known import make
from guards.rules.regex import RegexGuard
from guards.verdict import PPM
from policies import vocabulary as words
from policies.errors import Place, Problems, did_you_mean
from policies.fields import Section, choice, described, duration_ms, list_of, matching, ppm, table, text
from policies.lists import with_lists
from policies.model import DetectorSpec, Option, Thresholds
from policies.options import read_options
from policies.read_model import option_keys, read_model_options
from policies.read_reviews import read_on_error
from policies.vocabulary import GuardFacts
from policies.yaml_strict import Broken, Entry, Listing, Node, Scalar, Table

NAME = r"[a-z][a-z0-9_]{0,39}"
_named = matching(NAME, "a name of small letters, digits and `_`")
DEFAULT_TIMEOUT_MS = 2_000
LONGEST_TIMEOUT_MS = 60_000
MAX_DETECTORS = 64
"""Each has a row in every record of an exchange, and a record is at most 32 KiB."""
DEFAULT_LABEL = "match"
OWN_WORD = PPM // 2
"""Where a generative guard's own answer turns to `unsafe`: its threshold unless the file says another."""
LANGUAGE = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?"


@dataclass(frozen=True, slots=True)
class Declared:
    """A detector with what the rules that use it have to know."""

    place: Place
    spec: DetectorSpec
    guard: GuardFacts
    has_threshold: bool
    labels: tuple[str, ...]
    """What its spans can be labelled with; empty for guards without spans."""
    known_after: float = 0
    """Characters after which a guard that reads its options itself knows a find for one."""


Detectors = Mapping[str, Declared | None]
"""By name; None for one whose problems are already reported."""


def read_detectors(node: Node | None, problems: Problems, known: Mapping[str, GuardFacts]) -> Detectors:
    found = table(node, "`detectors`", problems) if node else None
    if found and len(found.entries) > MAX_DETECTORS:
        problems.add(found.place, f"`detectors` has {len(found.entries)} entries, expected at most {MAX_DETECTORS}")
    return {entry.key: _detector(entry, problems, known) for entry in (found.entries if found else ())}


def _detector(entry: Entry, problems: Problems, known: Mapping[str, GuardFacts]) -> Declared | None:
    before = len(problems)
    name = Scalar(entry.place, entry.key, entry.key)
    matching(NAME, "a name of small letters, digits and `_`")(name, "detector", problems)
    if entry.key in (*words.FACTS, *words.COMBINATIONS, *words.LATER_FACTS):
        problems.add(entry.place, f"detector is named `{entry.key}`, which is a word of the language")
    use = _use(entry, problems, known)
    if use is None:
        return None
    declared = _configured(entry, use, known[use], problems)
    return declared if len(problems) == before else None


def _use(entry: Entry, problems: Problems, known: Mapping[str, GuardFacts]) -> str | None:
    """The guard's name, found before the other keys because it says which of them there are."""
    found = table(entry.value, f"detector `{entry.key}`", problems)
    if found is None:
        return None
    use = next((inner for inner in found.entries if inner.key == "use"), None)
    if use is None:
        near = next((inner for inner in found.entries if did_you_mean(inner.key, ["use"])), None)
        hint = f"is `{near.key}` meant to be `use`?" if near else ""
        problems.add(near.place if near else entry.place, f"detector `{entry.key}` has no `use`", hint)
        return None
    guard = _known_guard(use.value, problems, known)
    at = next((inner.value for inner in found.entries if inner.key == "endpoint"), None)
    return guard if guard is None or at is None else _endpoint(guard, at, problems, known)


def _endpoint(use: str, node: Node, problems: Problems, known: Mapping[str, GuardFacts]) -> str | None:
    """The entry of `guards:` whose model is asked: of the kind that `use` names, in place of the one of that name."""
    named = _named(node, "`endpoint`", problems)
    if named is None:
        return None
    there, wanted = known.get(named), known[use].profile
    if there is None or there.profile is None or wanted is None or there.profile.use != wanted.use:
        kinds = [name for name, one in known.items() if wanted and one.profile and one.profile.use == wanted.use]
        told = f"`endpoint` is `{named}`, which is no `{use}` under `guards:` of the configuration"
        hint = did_you_mean(named, kinds) or "a guard of your own is known with `--config gatehouse.yaml`"
        problems.add(node.place, told, hint)
        return None
    return named


def _retries(node: Node, what: str, problems: Problems) -> int | None:
    """A second try would hide an overloaded server, and take the time of whoever waits."""
    if isinstance(node, Scalar) and node.value == 0 and not isinstance(node.value, bool):
        return 0
    if not isinstance(node, Broken):
        told = f"{what} is {described(node)}, expected `0`: a guard is asked once, and `timeout` says how long"
        problems.add(node.place, told)
    return None


def _known_guard(node: Node, problems: Problems, known: Mapping[str, GuardFacts]) -> str | None:
    """A name out of the table. There are too many to list, and a site adds its own."""
    value = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, str) or value in known or value in words.LATER_GUARDS:
        return choice(known, words.LATER_GUARDS)(node, "`use`", problems)
    hint = did_you_mean(value, known) or "a guard of your own is known with `--config gatehouse.yaml`"
    told = f"`use` is {described(node)}, which neither ships nor stands under `guards:` of the configuration"
    problems.add(node.place, told, hint)
    return None


def detector_keys(guard: GuardFacts) -> list[str]:
    """What a detector with this guard may say."""
    keys = ["use", "timeout", "on_error", "accept_risk", *guard.names]
    keys += ["endpoint", "retries"] if guard.is_model else []
    keys += ["reduce"] if guard.is_model and "reduce" not in option_keys(guard) else []
    keys += ["pattern", "label", "engine", "views", "check"] if guard.takes_pattern else []
    keys += ["threshold", "languages"] if guard.is_model else []
    keys += ["categories"] if guard.categories and guard.rule is None else []
    keys += sorted(guard.rule.keys) if guard.rule else []
    return [*keys, *option_keys(guard)]


def _configured(entry: Entry, use: str, guard: GuardFacts, problems: Problems) -> Declared | None:
    section = Section.open(entry.value, f"detector `{entry.key}`", problems, detector_keys(guard), words.LATER_DETECTOR)
    if section is None:
        return None
    says_itself = isinstance(guard.profile, GenerativeProfile)
    threshold = section.get("threshold", ppm, OWN_WORD if says_itself else PPM)
    section.get("retries", _retries, 0)
    section.get("reduce", choice(("max",)), "max")
    asked = read_model_options(section, guard)
    guard = replace(guard, categories=asked.categories)
    options = {**_options(section, guard), **asked.options}
    rule = _rule(section, use, guard)
    if rule is not None:
        options |= rule.settings
    on_error = read_on_error(section)
    spec = DetectorSpec(
        name=entry.key,
        use=use,
        threshold_ppm=threshold,
        says_threshold="threshold" in section,
        category_thresholds=_categories(section.node("categories"), guard, threshold, problems),
        timeout_ms=section.get("timeout", duration_ms(1, LONGEST_TIMEOUT_MS), DEFAULT_TIMEOUT_MS),
        on_error=on_error.kind,
        risk=on_error.risk,
        people=on_error.people,
        languages=_languages(section.node("languages"), guard, threshold, problems),
        options=MappingProxyType(options),
        configured=() if guard.profile is None or use in PROFILES else (guard.profile.use, *guard.categories),
    )
    labels, known_after = (_labels(guard, options), 0.0) if rule is None else (rule.labels, rule.known_after)
    return Declared(entry.place, spec, guard, says_itself or "threshold" in section, labels, known_after)


def _rule(section: Section, use: str, guard: GuardFacts) -> RuleGuard | None:
    """The guard itself, where it reads its own options; None for others, and after a problem, then reported."""
    if guard.rule is None:
        return None
    folder = Path(section.place.file).parent

    def read(values: Mapping[str, object]) -> RuleGuard:
        if "list" in section and "list" not in values:  # a problem with it is told; that nothing is listed is no other
            values = {**values, "words": values.get("words") or ["stand-in"]}
        return make(use, with_lists(use, values, folder))

    return read_options(section, guard.rule.keys, read)


def _options(section: Section, guard: GuardFacts) -> dict[str, Option]:
    options: dict[str, Option] = {}
    for key, names in guard.names.items():
        read = list_of(choice((*names.known, *names.groups)), least=1)
        options[key] = names.expand(section.get(key, read, names.default))
    if guard.takes_pattern:
        section.get("engine", choice(("re2",)), "re2")
        pattern = section.require("pattern", text, "")
        options["pattern"] = pattern
        options["label"] = section.get("label", matching(NAME, "a name of small letters"), DEFAULT_LABEL)
        if "check" in section:
            options["check"] = section.get("check", choice(CHECKS), "luhn")
        _check_pattern(section, pattern, str(options.get("check", "")))
        if "views" in section:
            views: tuple[str, ...] = VIEWS
            options["views"] = section.get("views", list_of(choice(VIEWS), least=1), views)
    return options


def _check_pattern(section: Section, pattern: str, check: str) -> None:
    """RE2 has the last word on what it accepts; the guard is built once to hear it."""
    node = section.node("pattern")
    if node is None or not pattern:
        return
    try:
        RegexGuard(pattern, check=check)
    except GuardSetupError as exc:
        section.problems.add(node.place, f"`pattern` cannot be used: {exc.problem}")


def _labels(guard: GuardFacts, options: Mapping[str, Option]) -> tuple[str, ...]:
    chosen = options.get("label" if guard.takes_pattern else guard.labels_from, ())
    return (chosen,) if isinstance(chosen, str) else chosen if isinstance(chosen, tuple) else ()


def _languages(node: Node | None, guard: GuardFacts, threshold: int, problems: Problems) -> Mapping[str, Thresholds]:
    """Thresholds by the language that the exchange is said to be in: a number, or one with those of categories."""
    found = table(node, "`languages`", problems) if node else None
    languages: dict[str, Thresholds] = {}
    for entry in found.entries if found else ():
        matching(LANGUAGE, "a language such as `es`")(Scalar(entry.place, entry.key, entry.key), "language", problems)
        if not isinstance(entry.value, Table):
            value = ppm(entry.value, f"threshold of `{entry.key[:40]}`", problems)
            languages[entry.key] = Thresholds(PPM if value is None else value)
            continue
        known = ("threshold", "categories") if guard.categories else ("threshold",)
        inner = Section.open(entry.value, f"`{entry.key[:40]}`", problems, known)
        own = inner.get("threshold", ppm, threshold) if inner else threshold
        categories = _categories(inner.node("categories") if inner else None, guard, own, problems)
        languages[entry.key] = Thresholds(own, categories)
    return MappingProxyType(dict(sorted(languages.items())))


def _categories(node: Node | None, guard: GuardFacts, threshold: int, problems: Problems) -> Mapping[str, int]:
    """Thresholds by category. `all` says in words that the detector's own holds for every one; a list chooses."""
    is_choice = isinstance(node, Listing) and "categories" in option_keys(guard)
    if node is None or is_choice or (isinstance(node, Scalar) and node.value == "all"):
        return MappingProxyType({})
    found = table(node, "`categories`", problems)
    thresholds: dict[str, int] = {}
    for entry in found.entries if found else ():
        if entry.key not in guard.categories:
            hint = did_you_mean(entry.key, guard.categories)
            problems.add(entry.place, f"unknown category `{entry.key[:40]}`", hint)
            continue
        value = ppm(entry.value, f"threshold of `{entry.key}`", problems)
        if value is not None and value != threshold:
            thresholds[entry.key] = value
    return MappingProxyType(dict(sorted(thresholds.items())))
