"""Whether one condition holds wherever another does: what a comparison of two policies rests on.

`covers` is sound and not complete: True is a proof, False only says that none was found. Who compares policies reads
False as "may be weaker", so what this file cannot prove is never taken for harmless. False, unknown and True are
ordered, and `any`, `all` and `not` keep or turn that order, so a proof holds as well while a guard gives no verdict.
Detectors are taken by name: a caller whose two policies mean different guards by one name has to say so elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from guards.verdict import PPM
from policies.matchers import ALWAYS, All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score, combined
from policies.model import Action, DetectorSpec, Rule
from policies.read_matchers import MANY

NEVER: Final = Any(())
_MOST_PAIRS: Final = 100_000


def region(rule: Rule) -> Matcher:
    """When the rule matches: `when`, and not `unless`."""
    return rule.when if rule.unless is None else combined(All, [rule.when, Not(rule.unless)])


def coverage(rules: Iterable[Rule]) -> Matcher:
    """When some of these enforcing rules looks at a part, as policies/decide.py counts it."""
    looks = (
        region(rule) if rule.do.action is Action.ALLOW else _whatever_is_found(region(rule), True) for rule in rules
    )
    return combined(Any, looks)


def _whatever_is_found(matcher: Matcher, is_asserted: bool) -> Matcher:
    """What tenant, app and model alone leave of it: every condition on a detector might hold."""
    if isinstance(matcher, All | Any):
        return combined(type(matcher), [_whatever_is_found(child, is_asserted) for child in matcher.children])
    if isinstance(matcher, Not):
        inner = _whatever_is_found(matcher.child, not is_asserted)
        return ALWAYS if inner == NEVER else NEVER if inner == ALWAYS else Not(inner)
    if isinstance(matcher, Fact):
        return matcher
    return ALWAYS if is_asserted else NEVER


def covers(wide: Matcher, narrow: Matcher) -> bool:
    """Whether `wide` provably holds wherever `narrow` does."""
    return _Proof().of(wide, narrow)


class _Proof:
    """One comparison. Each pair of conditions is looked at once, so deep nesting costs no more than its size, and of
    two that are both very large not every pair: then no proof is found."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def of(self, wide: Matcher, narrow: Matcher) -> bool:
        pair = (id(wide), id(narrow))
        if pair not in self._known:
            self._known[pair] = len(self._known) < _MOST_PAIRS and self._found(wide, narrow)
        return self._known[pair]

    def _found(self, wide: Matcher, narrow: Matcher) -> bool:
        if wide in (narrow, ALWAYS) or narrow == NEVER:
            return True
        if isinstance(narrow, Any):
            return all(self.of(wide, child) for child in narrow.children)
        if isinstance(wide, All):
            return all(self.of(child, narrow) for child in wide.children)
        if isinstance(wide, Any) and any(self.of(child, narrow) for child in wide.children):
            return True
        if isinstance(narrow, All):
            return any(self.of(wide, child) for child in narrow.children)
        if isinstance(wide, Not) and isinstance(narrow, Not):
            return self.of(narrow.child, wide.child)
        if isinstance(wide, Not):
            return _exclude(wide.child, narrow)
        return _leaf_covers(wide, narrow)


def _exclude(one: Matcher, other: Matcher) -> bool:
    """Whether one fact rules the other out."""
    if not isinstance(one, Fact) or not isinstance(other, Fact):
        return False
    return one.name == other.name and not one.values & other.values


def _leaf_covers(wide: Matcher, narrow: Matcher) -> bool:
    if isinstance(wide, Fact) and isinstance(narrow, Fact):
        return wide.name == narrow.name and narrow.values <= wide.values
    if getattr(wide, "detector", "") != getattr(narrow, "detector", None):
        return False
    if isinstance(wide, Score) and isinstance(narrow, Score):
        return wide.least <= narrow.least and narrow.most <= wide.most
    if isinstance(wide, Count) and isinstance(narrow, Count):
        return _count_covers(wide, narrow)
    if isinstance(wide, AnyCategory) and isinstance(narrow, AnyCategory):
        return _reached(wide.thresholds, narrow.thresholds)
    if isinstance(wide, AnyCategory) and isinstance(narrow, OnlyCategories):
        return _reached(wide.thresholds, {code: _threshold(narrow, code) for code in narrow.allowed})
    if isinstance(wide, OnlyCategories) and isinstance(narrow, OnlyCategories):
        return _only_covers(wide, narrow)
    return False


def _count_covers(wide: Count, narrow: Count) -> bool:
    if wide.labels == narrow.labels:
        return wide.least <= narrow.least and narrow.most <= wide.most
    # More labels find more places: a lower bound stays reached, an upper one may not be kept.
    counts_more = not wide.labels or (bool(narrow.labels) and narrow.labels <= wide.labels)
    return counts_more and wide.least <= narrow.least and wide.most >= MANY


def _reached(wide: Mapping[str, int], narrow: Mapping[str, int]) -> bool:
    """Whether every category that reaches its threshold in `narrow` reaches the one in `wide`."""
    return all(code in wide and wide[code] <= threshold for code, threshold in narrow.items())


def _threshold(only: OnlyCategories, code: str) -> int:
    return only.thresholds.get(code, only.default)


def _only_covers(wide: OnlyCategories, narrow: OnlyCategories) -> bool:
    """Something allowed is flagged at least as soon, and what is not allowed no sooner."""
    others = (wide.thresholds.keys() | narrow.thresholds.keys()) - wide.allowed
    return (
        narrow.allowed <= wide.allowed
        and all(_threshold(wide, code) <= _threshold(narrow, code) for code in narrow.allowed)
        and all(_threshold(wide, code) >= _threshold(narrow, code) for code in others)
        and wide.default >= narrow.default
    )


def under(matcher: Matcher, before: DetectorSpec, after: DetectorSpec) -> Matcher:
    """The condition as it would read had the detector the thresholds of `after`, and nothing else been edited."""
    if isinstance(matcher, All | Any):
        return combined(type(matcher), [under(child, before, after) for child in matcher.children])
    if isinstance(matcher, Not):
        return Not(under(matcher.child, before, after))
    if getattr(matcher, "detector", None) != before.name:
        return matcher
    move = _mover(before, after)
    if isinstance(matcher, Score):
        return _moved_score(matcher, before.threshold_ppm, after.threshold_ppm)
    if isinstance(matcher, AnyCategory):
        moved = {code: move(code, threshold) for code, threshold in matcher.thresholds.items()}
        return AnyCategory(matcher.detector, MappingProxyType(moved))
    if isinstance(matcher, OnlyCategories):
        return OnlyCategories(matcher.detector, matcher.allowed, after.category_thresholds, after.threshold_ppm)
    return matcher


def _mover(before: DetectorSpec, after: DetectorSpec) -> Callable[[str, int], int]:
    def move(code: str, threshold: int) -> int:
        if threshold != before.category_thresholds.get(code, before.threshold_ppm):
            return threshold
        return after.category_thresholds.get(code, after.threshold_ppm)

    return move


def _moved_score(score: Score, before: int, after: int) -> Score:
    """`unsafe` was compiled to a bound at the threshold; other bounds are the rule's own."""
    if (score.least, score.most) == (before, PPM):
        return Score(score.detector, after, PPM)
    if (score.least, score.most) == (0, before - 1) and after > 0:
        return Score(score.detector, 0, after - 1)
    return score
