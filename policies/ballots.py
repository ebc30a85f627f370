"""Votes on an exchange that waits for people, and what they come to. Pure: no clock, nobody is told.

One who denies ends it; otherwise it takes as many different people as the rules want. Whoever asked may not vote where
a rule says so. A vote that does not count is refused with its reason and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from policies.model import Review


class State(StrEnum):
    """Of an exchange that was held."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(slots=True)
class Ballot:
    """The votes on one exchange."""

    quorum: int
    requesters: frozenset[str] = frozenset()
    """Names that may not vote."""
    approved_by: list[str] = field(default_factory=list)
    denied_by: str = ""
    refused: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, reviews: Iterable[Review], requesters: Iterable[str]) -> Ballot:
        """For everything that has to be satisfied: the highest quorum, and nobody who asked if any rule says so."""
        wanted = list(reviews)
        distinct = any(review.distinct for review in wanted)
        names = frozenset(name for name in requesters if name) if distinct else frozenset[str]()
        return cls(max(review.quorum for review in wanted), names)

    @property
    def state(self) -> State:
        if self.denied_by:
            return State.DENIED
        return State.APPROVED if len(self.approved_by) >= self.quorum else State.PENDING

    @property
    def because(self) -> str:
        """In a few words; names of voters only."""
        if self.denied_by:
            return f"{self.denied_by} denied"
        return "; ".join((*self.refused, f"{len(self.approved_by)} of {self.quorum}"))

    def objection(self, name: str) -> str:
        """Why this person cannot vote; empty: they can."""
        if name in self.requesters:
            return f"{name} is the requester"
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
