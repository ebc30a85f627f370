"""Who may vote on which queue of reviews, as the configuration says; and whether that can be enough for a policy.

A queue belongs to the reviewers who name it. One that nobody names belongs to all with the role `operator`, so that a
small site needs no lists. A policy that wants more people than there are would block everything that it holds: it does
not come into force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.errors import ConfigError
from gateway.operators import Operator, Role
from policies.model import Mode, Policy, Review


class Queues:
    """All operators, as reviewers."""

    def __init__(self, operators: Iterable[Operator] = ()) -> None:
        self._operators = tuple(operators)

    def members(self, queue: str) -> frozenset[str]:
        """Who may vote on it."""
        named = frozenset(one.name for one in self._operators if Role.REVIEWER in one.roles and queue in one.queues)
        return named or frozenset(one.name for one in self._operators if Role.OPERATOR in one.roles)

    def check(self, policy: Policy) -> None:
        """Raises ConfigError for a review that can never be approved. Without operators nobody approves anything."""
        for rule, review in wanted(policy) if self._operators else ():
            there = len(self.members(review.queue))
            if there < review.quorum:
                told = f"rule `{rule}` wants {review.quorum} people of the queue `{review.queue}`, which has {there}"
                raise ConfigError("quorum_unreachable", told)


def wanted(policy: Policy) -> Iterator[tuple[str, Review]]:
    """(rule or place, review) for every review that the policy can come to ask for."""
    for rule in policy.rules:
        acts = rule.mode is Mode.ENFORCE or rule.until is not None
        for review in (rule.do.review, rule.people):
            if acts and review is not None:
                yield rule.id, review
    for name, spec in policy.detectors.items():
        if spec.people is not None:
            yield name, spec.people
    if policy.people is not None:
        yield "defaults", policy.people
