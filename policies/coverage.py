"""What the tests of a policy have tried of it: which rules decided, and which conditions were both true and false.

A condition that was never false may as well not be there, and one that was never true may be misspelt; either way no
test would notice. Conditions are watched where rules are matched, so what counts is what the exchange really asked:
those in `unless` only where `when` held. A condition whose detector gave no verdict was neither. Watching changes no
decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from guards.verdict import Span
from policies.matchers import ALWAYS, All, Any, Asked, Form, Matcher, Not, Verdicts
from policies.model import Mode, Policy, Rule
from policies.spoken import leaf


@dataclass(slots=True)
class Condition:
    """One that has none inside it, and what it came to so far."""

    rule: str
    key: str
    """`when` or `unless`."""
    matcher: Matcher
    was: set[bool] = field(default_factory=set)

    @property
    def spoken(self) -> str:
        return leaf(self.matcher)

    @property
    def missing(self) -> tuple[bool, ...]:
        return tuple(value for value in (True, False) if value not in self.was)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one policy, by all of its tests."""

    untried: tuple[str, ...]
    """Rules that decided in no test; those in shadow, that matched in none. Sorted."""
    conditions: tuple[Condition, ...]
    outcomes: int
    """What there is to try: each rule, and both sides of each condition."""

    @property
    def tried(self) -> int:
        return self.outcomes - len(self.untried) - sum(len(one.missing) for one in self.conditions)

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 is all."""
        return 100 * self.tried // self.outcomes if self.outcomes else 100


def watched(policy: Policy) -> tuple[Policy, tuple[Condition, ...]]:
    """The same policy, and its conditions, which take note of what they come to whenever it is asked."""
    conditions: list[Condition] = []
    rules = tuple(_watched(rule, conditions) for rule in policy.rules)
    return replace(policy, rules=rules), tuple(conditions)


def coverage(policy: Policy, conditions: Iterable[Condition], deciding: Collection[str]) -> Coverage:
    """What has been tried, of rules that may act. `deciding` are those that decided, or matched in shadow."""
    ids = [rule.id for rule in policy.rules if rule.mode is not Mode.OFF]
    asked = tuple(one for one in conditions if one.rule in ids)
    return Coverage(tuple(sorted(set(ids).difference(deciding))), asked, len(ids) + 2 * len(asked))


def _watched(rule: Rule, conditions: list[Condition]) -> Rule:
    def watch(key: str, matcher: Matcher) -> Matcher:
        found = [Condition(rule.id, key, one) for one in _leaves(matcher)]
        conditions.extend(found)
        return _Watched(matcher, tuple(found)) if found else matcher

    when = rule.when if rule.when is ALWAYS else watch("when", rule.when)
    return replace(rule, when=when, unless=None if rule.unless is None else watch("unless", rule.unless))


def _leaves(matcher: Matcher) -> Iterator[Matcher]:
    if isinstance(matcher, All | Any):
        for child in matcher.children:
            yield from _leaves(child)
    elif isinstance(matcher, Not):
        yield from _leaves(matcher.child)
    else:
        yield matcher


class _Watched:
    """A matcher that has each of its conditions answer, and not only as many as it takes."""

    def __init__(self, matcher: Matcher, conditions: tuple[Condition, ...]) -> None:
        self._matcher, self._conditions = matcher, conditions

    def holds(self, verdicts: Verdicts, facts: Asked) -> bool | None:
        for condition in self._conditions:
            held = condition.matcher.holds(verdicts, facts)
            if held is not None:
                condition.was.add(held)
        return self._matcher.holds(verdicts, facts)

    def spans(self, verdicts: Verdicts, facts: Asked) -> Iterator[Span]:
        return self._matcher.spans(verdicts, facts)

    def detectors(self) -> frozenset[str]:
        return self._matcher.detectors()

    def asks_facts(self) -> bool:
        return self._matcher.asks_facts()

    def form(self) -> Form:
        return self._matcher.form()
