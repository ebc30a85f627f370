"""Exchanges that wait for people: held in memory, listed and voted on through the admin listener, never forgotten.

A held exchange is a client that waits. It goes on when enough people approve, and is blocked when one denies, when its
time is up, or when nothing can be recorded. Each step is a record before it has an effect: `review.open`,
`review.vote`, and `review.close` or `review.expire`. A client that hangs up, and a gateway that stops, close the review
as `abandoned`; after a restart nothing is held. What is to be judged is shown to reviewers from memory, kept nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from gateway.disconnect import unbroken
from gateway.entries import Exchange, Record, Recorder
from gateway.errors import Conflict, Forbidden, NotFound, Unavailable
from gateway.ids import exchange_id
from gateway.jsonstrict import Json
from gateway.rewrite import kept_parts
from gateway.transcript import picture_field
from guards.verdict import Part
from policies.ballots import Ballot, Members, State, at_its_end, waived
from policies.model import REVIEW_DENIED, REVIEW_EXPIRED, Action, Decision, Review

MOST_HELD: Final = 1_000
_MESSAGES: Final = {
    REVIEW_DENIED: "the exchange was reviewed and not approved",
    REVIEW_EXPIRED: "nobody approved the exchange in time",
}


class Reviewers(Protocol):
    """Who decides about what the policy wants reviewed."""

    async def reviewed(
        self, log: Recorder, exchange: Exchange, decision: Decision, parts: Sequence[Part], person: str
    ) -> Decision:
        """The decision once people have had their say: as it was, or a block. Raises Unavailable."""
        ...


def concluded(decision: Decision, state: State) -> Decision:
    """The decision after its review: as it was, or a block."""
    if state is State.WAIVED:
        return waived(decision)
    return decision if state is State.APPROVED else refused(decision, state)


def refused(decision: Decision, state: State) -> Decision:
    """The block that a review came to."""
    code = REVIEW_DENIED if state is State.DENIED else REVIEW_EXPIRED
    return replace(
        decision, action=Action.BLOCK, code=code, message=_MESSAGES[code], status=400, template=None, route=None
    )


@dataclass(frozen=True, slots=True)
class Matter:
    """What people are to decide: of which exchange, by which rules, on which text."""

    record: Record
    """What every record of the exchange says of it."""
    reviews: tuple[tuple[str, Review], ...]
    """(rule, what it asks for)."""
    parts: tuple[Part, ...] = field(repr=False)
    requesters: tuple[str, ...]
    """Who may have no say where a rule wants somebody else."""

    @classmethod
    def of(cls, exchange: Exchange, decision: Decision, parts: Sequence[Part], person: str) -> Matter:
        """What a decision wants reviewed. Reviewers see no more than the model server would."""
        shown = tuple(kept_parts(parts, decision.redactions))
        return cls(exchange.record("", "progress"), decision.reviews, shown, (exchange.caller.key_id, person))

    @property
    def seconds(self) -> float:
        """How long it may wait."""
        return min(review.timeout_ms for _, review in self.reviews) / 1000


@dataclass(slots=True)
class Held:
    """One exchange that waits."""

    id: str
    matter: Matter
    ballot: Ballot
    until: float
    """Seconds since 1970."""
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    voting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def row(self) -> dict[str, Json]:
        """What a list says of it."""
        matter = self.matter
        return {
            "id": self.id,
            "request": matter.record["req"],
            "tenant": matter.record["tenant"],
            "app": matter.record["app"],
            "rules": [rule for rule, _ in matter.reviews],
            "queues": [*sorted({review.queue for _, review in matter.reviews})],
            "quorum": self.ballot.quorum,
            "approved_by": [*self.ballot.approved_by],
            "until": int(self.until),
        }

    def shown(self) -> dict[str, Json]:
        """The same with what is to be judged."""
        parts: list[Json] = [
            {"part": part.path, "scope": str(part.scope), "text": part.text, **picture_field(part)}
            for part in self.matter.parts
        ]
        return self.row() | {"parts": parts}


class ReviewDesk:
    """All exchanges that wait, and the votes on them."""

    def __init__(self, clock: Callable[[], float] = time.time, members: Members | None = None) -> None:
        """`members`: who may vote on a queue; None: whoever may vote at all."""
        self._clock, self._members = clock, members
        self._held: dict[str, Held] = {}
        self._opening = 0
        """Those whose first record is being written: they have a place already."""

    async def reviewed(
        self, log: Recorder, exchange: Exchange, decision: Decision, parts: Sequence[Part], person: str
    ) -> Decision:
        """Hold the exchange until people have had their say, or its time is up."""
        state = await self.hold(log, Matter.of(exchange, decision, parts, person))
        return concluded(decision, state)

    async def hold(self, log: Recorder, matter: Matter) -> State:
        """How it was decided. Raises Unavailable; one that is cancelled is recorded as abandoned."""
        if len(self._held) + self._opening >= MOST_HELD:
            raise Unavailable("review_unavailable", "too many exchanges wait for a review already")
        wanted = [review for _, review in matter.reviews]
        ballot = Ballot.of(wanted, matter.requesters, self._members)
        held = Held(exchange_id(), matter, ballot, self._clock() + matter.seconds)
        outcome = "abandoned"
        try:
            await self._opened(log, held, int(matter.seconds))
            state = await _decided(held, matter.seconds)
            state = at_its_end(wanted, self._clock()) if state is State.EXPIRED else state
            state = await _last_vote(held) if state is State.WAIVED else state
            outcome = str(state)
        finally:
            if self._held.pop(held.id, None) is not None:
                kind = "review.expire" if outcome in (State.EXPIRED, State.WAIVED) else "review.close"
                await unbroken(log.append(_record(held, kind, {"outcome": outcome, "why": ballot.because})))
        return state

    async def _opened(self, log: Recorder, held: Held, timeout_s: int) -> None:
        self._opening += 1
        try:
            await unbroken(self._open(log, held, timeout_s))
        finally:
            self._opening -= 1

    async def _open(self, log: Recorder, held: Held, timeout_s: int) -> None:
        """From its record on it is held, so that whatever ends it is recorded, too."""
        await log.append(_record(held, "review.open", {"quorum": held.ballot.quorum, "timeout_s": timeout_s}))
        self._held[held.id] = held

    def rows(self, name: str | None = None) -> list[dict[str, Json]]:
        """What waits, the oldest first; for one person, what they may vote on."""
        return [held.row() for held in self._held.values() if name is None or held.ballot.may_vote(name)]

    def readable(self, review_id: str, name: str) -> Held:
        """One of those that this person is asked about. Raises NotFound, or Forbidden for somebody else's."""
        held = self.held(review_id)
        if not held.ballot.may_vote(name):
            raise Forbidden("queue_of_others", "this review is for people of other queues")
        return held

    def held(self, review_id: str) -> Held:
        """Raises NotFound."""
        found = self._held.get(review_id)
        if found is None:
            raise NotFound("no_such_review", "no exchange waits under this id; it may be decided already")
        return found

    async def vote(self, log: Recorder, record: Record, review_id: str, name: str, *, approve: bool) -> dict[str, Json]:
        """Count a vote once it is recorded. Raises NotFound, or Conflict for one that does not count."""
        held = self.held(review_id)
        async with held.voting:
            if why := held.ballot.objection(name):
                raise Conflict("vote_refused", f"the vote does not count: {why}")
            said: Json = {"id": held.id, "vote": "approve" if approve else "deny"}
            await log.append(record | {"review": said, "tenant": held.matter.record["tenant"]})
            if held.id not in self._held:
                raise Conflict("vote_refused", "the vote does not count: it is decided")
            held.ballot.cast(name, approve)
            if held.ballot.state is not State.PENDING:
                held.decided.set()
        return {"id": held.id, "state": str(held.ballot.state), "why": held.ballot.because}


async def _decided(held: Held, seconds: float) -> State:
    try:
        async with asyncio.timeout(seconds):
            await held.decided.wait()
    except TimeoutError:
        return held.ballot.state if held.ballot.state is not State.PENDING else State.EXPIRED
    return held.ballot.state


async def _last_vote(held: Held) -> State:
    """What goes on since its time is up does not if somebody denied before that, whose vote is being recorded."""
    async with held.voting:
        return held.ballot.state if held.ballot.state is not State.PENDING else State.WAIVED


def _record(held: Held, kind: str, more: dict[str, Json]) -> Record:
    matter = held.matter
    rules: list[Json] = [{"rule": rule, "queue": review.queue} for rule, review in matter.reviews]
    said: dict[str, Json] = {"id": held.id, "rules": rules, "parts": len(matter.parts)}
    return matter.record | {"type": kind, "review": said | more}
