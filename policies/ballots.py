"""Votes on an exchange that waits for people, and what they come to. Pure: no clock, nobody is told.

One who denies ends it; otherwise it takes as many different people of each queue as the rules want. Whoever asked may
not vote where a rule says so. A vote that does not count is refused with its reason and changes nothing. When the time
is up the exchange is blocked, unless every rule that wanted the review has somebody who accepts that it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from policies.decide import RISK_QUEUE
from policies.model import Decision, Flag, Review

Members: TypeAlias = Callable[[str], Container[str]]
"""Who may vote on a queue."""


class State(StrEnum):
    """Of an exchange that was held."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WAIVED = "waived"
    """Its time was up, and somebody accepts that it goes on then."""


@dataclass(slots=True)
class Ballot:
    """The votes on one exchange."""

    quorum: int
    requesters: frozenset[str] = frozenset()
    """Names that may not vote."""
    approved_by: list[str] = field(default_factory=list)
    denied_by: str = ""
    refused: list[str] = field(default_factory=list)
    needs: Mapping[str, int] = field(default_factory=dict)
    """How many people of which queue."""
    members: Members | None = None
    """None: everybody may vote on everything."""

    @classmethod
    def of(cls, reviews: Iterable[Review], requesters: Iterable[str], members: Members | None = None) -> Ballot:
        """For everything that has to be satisfied: the highest quorum, and nobody who asked if any rule says so."""
        wanted = list(reviews)
        distinct = any(review.distinct for review in wanted)
        names = frozenset(name for name in requesters if name) if distinct else frozenset[str]()
        needs: dict[str, int] = {}
        for review in sorted(wanted, key=lambda one: one.queue):
            needs[review.queue] = max(review.quorum, needs.get(review.queue, 0))
        return cls(max(needs.values()), names, needs=needs, members=members)

    @property
    def state(self) -> State:
        if self.denied_by:
            return State.DENIED
        return State.PENDING if any(have < need for _, have, need in self._counts()) else State.APPROVED

    def _counts(self) -> list[tuple[str, int, int]]:
        """(queue, who approved of it, who have to)."""
        if self.members is None:
            return [("", len(self.approved_by), self.quorum)]
        return [
            (queue, sum(name in self.members(queue) for name in self.approved_by), need)
            for queue, need in self.needs.items()
        ]

    def may_vote(self, name: str) -> bool:
        """Whether this person is one of those who are asked."""
        return self.members is None or any(name in self.members(queue) for queue in self.needs)

    @property
    def because(self) -> str:
        """In a few words; names of voters only."""
        if self.denied_by:
            return f"{self.denied_by} denied"
        counts = self._counts()
        names = [f"{queue} " if len(counts) > 1 else "" for queue, _, _ in counts]
        said = ", ".join(f"{name}{have} of {need}" for name, (_, have, need) in zip(names, counts, strict=True))
        return "; ".join((*self.refused, said))

    def objection(self, name: str) -> str:
        """Why this person cannot vote; empty: they can."""
        if name in self.requesters:
            return f"{name} is the requester"
        if not self.may_vote(name):
            return f"{name} is no reviewer of {', '.join(self.needs)}"
        if name in self.approved_by or name == self.denied_by:
            return f"{name} has voted"
        return "" if self.state is State.PENDING else "it is decided"

    def cast(self, name: str, approve: bool) -> bool:
        """Whether the vote counts."""
        if why := self.objection(name):
            self.refused.append(why)
            return False
        if approve:
            self.approved_by.append(name)
        else:
            self.denied_by = name
        return True


def at_its_end(reviews: Iterable[Review], at: float) -> State:
    """What follows when the time is up and the votes decide nothing."""
    waives = all(review.risk is not None and at < review.risk.until for review in reviews)
    return State.WAIVED if waives else State.EXPIRED


def waived(decision: Decision) -> Decision:
    """The decision that goes on although nobody decided its review: with a flag, and who accepts it."""
    risks = [(rule, review.risk.ticket) for rule, review in decision.reviews if review.risk is not None]
    flags = {Flag(rule, RISK_QUEUE, "high") for rule, _ in risks}
    return replace(
        decision,
        opened=tuple(sorted({*decision.opened, *risks})),
        flags=tuple(sorted({*decision.flags, *flags})),
    )
