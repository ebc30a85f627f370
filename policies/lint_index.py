"""Which rules may match wherever another does, found without comparing each with each.

A rule is filed under something that a region it covers has to say as well (policies/compare.py says what covers what):
of several conditions that all have to hold, under the one that the fewest rules share. A policy of 10,000 rules is
looked through in the time that its rules take, not their square. Where too many rules are filed in one place, only the
first are looked at, and `is_crowded` says so: nothing is left out in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from guards.verdict import Scope
from policies.compare import covers
from policies.matchers import All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score
from policies.model import Rule
from policies.read_matchers import MANY

MOST: Final = 64
"""Rules filed in one place that are compared with one rule."""
Key: TypeAlias = tuple[str, ...]
_ALL: Final[Key] = ("all",)
"""Where rules without a condition are filed, which cover every region."""
_Place: TypeAlias = tuple[Hashable, Scope, Key]


@dataclass(slots=True)
class Wider:
    """An index of rules. `group` is what a rule has to have so that it is asked for."""

    regions: Mapping[str, Matcher]
    group: Callable[[Rule], Hashable]
    _places: dict[_Place, list[Rule]] = field(default_factory=dict)

    def file(self, rules: Iterable[Rule]) -> Wider:
        """Add rules."""
        rules = list(rules)
        shared = Counter(key for rule in rules for key in _mentioned(self.regions[rule.id]))
        for rule in rules:
            for key in _needed(self.regions[rule.id], shared):
                for scope in rule.scopes:
                    self._places.setdefault((self.group(rule), scope, key), []).append(rule)
        for (_, _, key), filed in self._places.items():
            if key[0] in ("Score", "Count"):  # the lowest bound first: the likeliest to cover others
                filed.sort(key=lambda rule: (_least(self.regions[rule.id], key[1]), rule.id))
        return self

    def first(self, rule: Rule, groups: Iterable[Hashable], is_meant: Callable[[Rule], bool]) -> Rule | None:
        """One of these groups that is meant and matches wherever `rule` does."""
        narrow = self.regions[rule.id]
        for one in self._candidates(rule, groups):
            if is_meant(one) and rule.scopes <= one.scopes and covers(self.regions[one.id], narrow):
                return one
        return None

    def is_crowded(self, rule: Rule, groups: Iterable[Hashable]) -> bool:
        """Whether not all that may cover it are compared with it."""
        return any(len(filed) > MOST for filed in self._filed(rule, groups))

    def _candidates(self, rule: Rule, groups: Iterable[Hashable]) -> Iterator[Rule]:
        for filed in self._filed(rule, groups):
            yield from filed[:MOST]

    def _filed(self, rule: Rule, groups: Iterable[Hashable]) -> Iterator[list[Rule]]:
        scope = min(rule.scopes)
        keys = sorted({_ALL, *_offered(self.regions[rule.id])})
        for group in groups:
            yield from (filed for key in keys if (filed := self._places.get((group, scope, key))))


def _least(region: Matcher, detector: str) -> int:
    """The lowest score, or number of places, that it asks of the detector."""
    if isinstance(region, All | Any):
        return min((_least(child, detector) for child in region.children), default=MANY)
    return region.least if isinstance(region, Score | Count) and region.detector == detector else MANY


def _mentioned(region: Matcher) -> set[Key]:
    """All places where one of its conditions could be filed."""
    if isinstance(region, All | Any):
        return set().union(*(_mentioned(child) for child in region.children))
    return _own(region)


def _needed(region: Matcher, shared: Mapping[Key, int]) -> set[Key]:
    """Places of which any region that this one covers offers at least one."""
    if isinstance(region, Any):
        return set().union(*(_needed(child, shared) for child in region.children))
    if isinstance(region, All):
        choices = [_needed(child, shared) for child in region.children]
        return min(choices, key=lambda keys: (sum(shared[key] for key in keys), sorted(keys)), default={_ALL})
    return _own(region)


def _own(leaf: Matcher) -> set[Key]:
    """Of one condition: a list of values is covered only by a list with each of them."""
    if isinstance(leaf, Fact):
        return {("fact", leaf.name, value) for value in leaf.values}
    if isinstance(leaf, AnyCategory):
        return {("category", leaf.detector, code) for code in leaf.thresholds}
    if isinstance(leaf, Not):
        return {("not", subject) for subject in _subjects(leaf.child)}
    return {(type(leaf).__name__, subject) for subject in _subjects(leaf)}


def _offered(region: Matcher) -> set[Key]:
    """Places where a rule is filed that covers this region, if there is one."""
    if isinstance(region, Any):
        return _offered(region.children[0]) if region.children else set()
    if isinstance(region, All):
        return set().union(*(_offered(child) for child in region.children))
    if isinstance(region, Fact):
        return {*(("fact", region.name, value) for value in _one(region.values)), ("not", region.name)}
    if isinstance(region, AnyCategory):
        return {("category", region.detector, code) for code in _one(region.thresholds)}
    if isinstance(region, OnlyCategories):
        return _own(region) | {("category", region.detector, code) for code in _one(region.allowed)}
    return _own(region)


def _one(names: Iterable[str]) -> list[str]:
    """What covers all of them has this one, too."""
    return sorted(names)[:1]


def _subjects(matcher: Matcher) -> set[str]:
    """The detectors and facts that it asks."""
    if isinstance(matcher, All | Any):
        return set().union(*(_subjects(child) for child in matcher.children))
    if isinstance(matcher, Not):
        return _subjects(matcher.child)
    return {matcher.name} if isinstance(matcher, Fact) else set(matcher.detectors())
