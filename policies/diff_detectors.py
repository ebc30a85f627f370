"""How the detectors of two policies differ: what they look for and when they count as unsafe.

A threshold has no effect of its own: it moves the rules that ask `unsafe`, `category` or `only`, and goes the way they
go. What a guard is asked for is compared where more is provably more (names to find, views); everything else that
changes its answers cannot be compared without measuring it, and counts as weaker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from guards.options import VIEWS
from policies.changes import About, Change, Effect
from policies.compare import covers, region, under
from policies.diff_reviews import diff_on_error
from policies.model import Action, DetectorSpec, Mode, Option, Rule
from policies.spoken import duration, share

MEASURE = "what it finds cannot be compared without measuring it"
_FINDS = {Effect.STRONGER: "it looks for more", Effect.WEAKER: "it looks for less"}
_MORE_IS_MORE = ("find", "families", "views", "locales", "words")
_SHOWN = 8
"""Names that a reviewer is shown; of a list of terms there may be thousands."""
_FEWER_IS_MORE = ("exclude", "hosts")
_NUMBERS: Mapping[str, tuple[Effect, str, str]] = {
    "overlap": (Effect.STRONGER, "windows share more", "windows share less"),
    "max_windows": (
        Effect.WEAKER,
        "longer texts are judged where they were refused",
        "texts that were judged are refused",
    ),
    "length_aware": (
        Effect.WEAKER,
        "many windows need a higher score",
        "many windows no longer need a higher score",
    ),
}
"""Option -> what more of it is, why up has its effect, why down."""


def diff_detectors(
    before: Mapping[str, DetectorSpec],
    after: Mapping[str, DetectorSpec],
    rules: Iterable[tuple[Rule, Rule]],
) -> list[Change]:
    """`rules`: those that both policies have, each as it was and as it is."""
    pairs = tuple(rules)
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            changes.append(_whole(name, "removed", before[name].use, ""))
        elif name not in before:
            changes.append(_whole(name, "added", "", after[name].use))
        else:
            changes += _diff(before[name], after[name], pairs)
    return changes


def _whole(name: str, aspect: str, before: str, after: str) -> Change:
    return _about(name).change(aspect, before, after, Effect.OTHER, "the rules that ask it say what follows")


def _about(detector: str) -> About:
    return About("detector", detector)


def _diff(before: DetectorSpec, after: DetectorSpec, rules: tuple[tuple[Rule, Rule], ...]) -> list[Change]:
    about, changes = _about(before.name), _thresholds(before, after, rules)
    if (before.use, before.configured) != (after.use, after.configured):
        changes.append(about.change("use", before.use, after.use, Effect.WEAKER, f"another guard: {MEASURE}"))
    else:
        for key in sorted(before.options.keys() | after.options.keys()):
            changes += _option(before, key, before.options.get(key), after.options.get(key))
    changes += diff_on_error(
        about,
        (before.on_error, before.risk, before.people),
        (after.on_error, after.risk, after.people),
    )
    timeouts = duration(before.timeout_ms), duration(after.timeout_ms)
    return [*changes, *about.renamed("timeout", *timeouts, "how long its verdict is waited for")]


def _thresholds(before: DetectorSpec, after: DetectorSpec, rules: tuple[tuple[Rule, Rule], ...]) -> list[Change]:
    shown = _told_thresholds(before), _told_thresholds(after)
    if shown[0] == shown[1]:
        return []
    asked = [pair for pair in rules if before.name in pair[0].detectors()]
    moves = [(was, now) for was, now in ((rule, _moved(rule, before, after)) for rule, _ in asked) if was != now]
    deciding = [(was, now) for was, now in moves if was.mode is Mode.ENFORCE and was.do.action is not Action.ALLOW]
    effect, reason = _direction(deciding)
    ids = tuple(sorted(was.id for was, _ in moves))
    return [_about(before.name).change("threshold", *shown, effect, reason, ids)]


def _direction(moves: list[tuple[Rule, Rule]]) -> tuple[Effect, str]:
    if not moves:
        return Effect.OTHER, "no enforcing rule that both policies have asks for it"
    if not all(covers(region(now), region(was)) for was, now in moves):
        return Effect.WEAKER, "its rules match less than they did"
    return Effect.STRONGER, "its rules match more than they did"


def _moved(rule: Rule, before: DetectorSpec, after: DetectorSpec) -> Rule:
    """The rule under the new thresholds, itself unedited."""
    unless = None if rule.unless is None else under(rule.unless, before, after)
    return replace(rule, when=under(rule.when, before, after), unless=unless)


def follows(before: Rule, moved_by: Mapping[str, tuple[DetectorSpec, DetectorSpec]]) -> Rule:
    """The old rule under the thresholds of the new policy: what is left to compare is the rule's own edit."""
    for name in sorted(before.detectors() & moved_by.keys()):
        before = _moved(before, *moved_by[name])
    return before


def _told_thresholds(spec: DetectorSpec) -> str:
    own = ", ".join(f"{code}: {share(ppm)}" for code, ppm in sorted(spec.category_thresholds.items()))
    return share(spec.threshold_ppm) + (f", {own}" if own else "")


def _option(spec: DetectorSpec, key: str, before: Option | None, after: Option | None) -> list[Change]:
    if before == after and (not isinstance(before, Mapping) or list(before) == list(_pairs(after))):
        return []
    about, shown = _about(spec.name), (_told(before), _told(after))
    if (key in _MORE_IS_MORE or key in _FEWER_IS_MORE) and _is_names(before) and _is_names(after):
        return _names(spec, key, before, after)
    if key in _NUMBERS and _is_known(key, before) and _is_known(key, after):
        return _option_number(about, key, before, after)
    if key == "context" and before == "last":
        return [about.change(key, *shown, Effect.STRONGER, "parts are judged in their conversation, too")]
    if key in ("memory", "label"):
        what = "verdicts come out the same" if key == "memory" else "what its places are called"
        return [about.change(key, *shown, Effect.OTHER, what)]
    return [about.change(key, *shown, Effect.WEAKER, MEASURE)]


def _option_number(about: About, key: str, before: Option | None, after: Option | None) -> list[Change]:
    was, now = _number(before), _number(after)
    if was == now:
        return []
    more_is, up, down = _NUMBERS[key]
    effect, reason = (more_is, up) if now > was else (more_is.turned, down)
    return [about.change(key, _told(before), _told(after), effect, reason)]


def _pairs(option: Option | None) -> Iterable[str]:
    return option if isinstance(option, Mapping) else ()


def _names(spec: DetectorSpec, key: str, before: Option | None, after: Option | None) -> list[Change]:
    was, now = (frozenset(_all(spec.use, key, option)) for option in (before, after))
    more = Effect.WEAKER if key in _FEWER_IS_MORE else Effect.STRONGER
    about, changes = _about(spec.name), list[Change]()
    if lost := _shown(was - now):
        changes.append(about.change(f"{key} lost", lost, "", more.turned, _FINDS[more.turned]))
    if gained := _shown(now - was):
        changes.append(about.change(f"{key} gained", "", gained, more, _FINDS[more]))
    return changes


def _is_names(option: Option | None) -> bool:
    """`words` is a list for one guard and a number for another."""
    return option is None or isinstance(option, tuple)


def _shown(names: frozenset[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(sorted(names)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _all(use: str, key: str, option: Option | None) -> tuple[str, ...]:
    """What leaving it out means: a classifier has all views, a pattern is looked for in the raw text."""
    if isinstance(option, tuple):
        return option
    return () if key != "views" else VIEWS[:1] if use in ("regex", "near") else VIEWS


def _is_known(key: str, option: Option | None) -> bool:
    """Leaving a number out means the model's own, which a policy does not say; a switch is off."""
    return isinstance(option, int) or key == "length_aware"


def _number(option: Option | None) -> int:
    return int(option) if isinstance(option, int) else 0


def _told(option: Option | None) -> str:
    """In a reviewer's words. A pattern and the text of a category are the policy's own."""
    if option is None:
        return "default"
    if isinstance(option, Mapping):
        return ", ".join(f"{code}: {text}" for code, text in option.items())
    if isinstance(option, tuple):
        return ", ".join(option)
    return str(option).lower() if isinstance(option, bool) else str(option)
