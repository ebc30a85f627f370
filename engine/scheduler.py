"""Which sequences run in the next step, which may begin, and which have to yield.

Every running answer gets its next token in every step; what is left of the step's budget goes to prompts, in pieces,
highest class and oldest first, so a long prompt delays others by one step at a time. A sequence begins when its prompt
has room; where all that it may need is free it takes that, too. When room runs out the last of the lowest class yields:
its blocks go to the others, and it is computed again later, from what it had drawn so far. Then it gets all of its room
at once, so it yields once for its equals, and MAX_YIELDS times at most for those above it; nobody waits while PATIENCE
others pass. One whose beginning is just being computed for another waits those few steps and takes it over. Cancelled
and expired sequences leave at the next step, and whichever way a sequence leaves, its room is given back here.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence as ListOf
from itertools import count as counting

from engine.counters import Counters
from engine.errors import BadRequest, MemoryExhausted, RequestError, Unavailable
from engine.events import GenerateRequest
from engine.kv_cache import KvCache
from engine.runner import Runner
from engine.slot import Slot
from engine.step import Chosen, GenerateStep
from engine.unit import Ticket, Unit

STEP_TOKENS = 256
"""Tokens of one step. A guard that arrives meanwhile waits for at most one step."""
MAX_RUNNING = 32
MAX_WAITING = 128


class GenerateLane:
    """The requests of one generating model."""

    def __init__(
        self,
        runner: Runner,
        cache: KvCache,
        max_positions: int,
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
        step_tokens: int = STEP_TOKENS,
    ) -> None:
        """A cache whose grain is larger than one makes scores repeatable: one sequence at a time, in fixed pieces."""
        self._runner, self.cache = runner, cache
        self.max_model_len = min(max_positions, cache.capacity)
        self.is_deterministic = cache.grain > 1
        self._max_running = 1 if self.is_deterministic else max_running
        self._step_tokens = cache.grain if self.is_deterministic else step_tokens
        self._max_waiting = max_waiting
        self._numbers = counting()
        self._waiting: list[Ticket] = []
        self._running: list[Ticket] = []
        """Both in the order of their ranks."""
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def reserved(self) -> int:
        """Positions that running sequences may come to have."""
        return self.cache.reserved

    def check(self, request: GenerateRequest) -> None:
        """BadRequest unless the request can be served to its end on an empty machine."""
        asked = len(request.prompt) + request.max_tokens
        if asked > self.max_model_len:
            told = f"{len(request.prompt)} prompt tokens and max_tokens {request.max_tokens} make {asked} positions"
            raise BadRequest("context_length_exceeded", f"{told}, this model has {self.max_model_len}", "max_tokens")

    def add(self, units: ListOf[Unit]) -> None:
        """All of them, or Unavailable and none."""
        for unit in units:
            self.check(unit.request)
        if len(self._waiting) + len(units) > self._max_waiting:
            raise Unavailable("overloaded", f"{len(self._waiting)} requests wait for this model; try again later")
        for unit in units:
            _enter(self._waiting, Ticket(unit, next(self._numbers)))

    def next(self, now: float) -> GenerateStep | None:
        self._drop(now)
        self._admit()
        chosen = self._chosen()
        return GenerateStep(self, self._runner, chosen) if chosen else None

    def computed(self, ticket: Ticket) -> None:
        """Let others take over what the last step computed of this one; take its room back if it has ended."""
        if not ticket.unit.is_sound:
            self.leave(ticket, keeps=False)
            self.cache.forget()
        elif ticket.unit.ended:
            self.leave(ticket)
        else:
            self.cache.publish(ticket.slot, ticket.unit.ids, self._shared(ticket))

    def leave(self, ticket: Ticket, keeps: bool = True) -> None:
        """Take a sequence out of the running ones and its room back; `keeps` what it computed, for others."""
        self._running.remove(ticket)
        ids, shared = (ticket.unit.ids, self._shared(ticket)) if keeps else ((), None)
        self.cache.release(ticket.slot, ids, shared)
        ticket.unit.slot = None

    def close(self, error: RequestError) -> None:
        for ticket in (*self._waiting, *self._running):
            ticket.unit.fail(error)
        self._waiting.clear()
        for ticket in tuple(self._running):
            self.leave(ticket)

    def _shared(self, ticket: Ticket) -> int | None:
        """Repeatable keys come from prompts in fixed pieces only, not from answers drawn token by token."""
        return len(ticket.unit.request.prompt) if self.is_deterministic else None

    def _drop(self, now: float) -> None:
        expired = Unavailable("deadline_exceeded", "the request took longer than its deadline allows")
        for ticket in (*self._waiting, *self._running):
            if not ticket.unit.cancelled and now > ticket.unit.request.deadline:
                ticket.unit.fail(expired)
        self._waiting = [ticket for ticket in self._waiting if ticket.is_wanted]
        for ticket in [one for one in self._running if not one.is_wanted]:
            self.leave(ticket)

    def _admit(self) -> None:
        """First come, first served: a large request that waits is not overtaken for ever by small ones."""
        for ticket in self._waiting[: self._max_running]:
            if not self._is_being_computed(ticket) and not self._begins(ticket):
                return

    def _begins(self, ticket: Ticket) -> bool:
        """Give it room, if need be that of lower classes."""
        while len(self._running) >= self._max_running or (slot := self._slot_for(ticket)) is None:
            lower = [one for one in self._running if one.rank[:2] > ticket.rank[:2]]
            if not self._running:
                # Its size was checked when it came; whatever holds the room, waiting for it could last for ever.
                self._waiting.remove(ticket)
                ticket.unit.fail(_no_room())
                return True
            if not lower or self.is_deterministic:
                return False
            self._yield(lower[-1])
        ticket.unit.slot = slot
        ticket.reached = max(ticket.reached, slot.filled)
        self.counters.reused_tokens += slot.taken_over
        self._waiting.remove(ticket)
        _enter(self._running, ticket)
        for other in self._waiting:
            other.passed += other.number < ticket.number
        self._waiting.sort(key=_rank)
        return True

    def _slot_for(self, ticket: Ticket) -> Slot | None:
        """Room for its text so far or, if it had to yield, for all that it may become; a block stays for each other."""
        unit, request = ticket.unit, ticket.unit.request
        now = None if ticket.is_firm else len(unit.ids)
        spared = len(self._running) * self.cache.layout.units
        asked = (request.positions, unit.ids, unit.first_wanted, request.kept_under, now, spared)
        slot = self.cache.reserve(*asked)
        return self.cache.reserve(*asked) if slot is None and self._trimmed() else slot

    def _chosen(self) -> Chosen:
        answering = [ticket for ticket in self._running if ticket.left == 1]
        budget = max(1, self._step_tokens - len(answering))
        counts: dict[Ticket, int] = {}
        for ticket in answering:
            if self._has_room(ticket, 1):
                counts[ticket] = 1
        for ticket in [one for one in self._running if one.left > 1]:
            count = self._piece(ticket.slot, min(ticket.left, budget)) if ticket.unit.slot is not None else 0
            if count and self._has_room(ticket, count):
                counts[ticket] = count
                budget -= count
        return [(ticket, ticket.run(count)) for ticket, count in counts.items() if ticket.unit.slot is not None]

    def _piece(self, slot: Slot, count: int) -> int:
        """A piece passes no border, and where scores are to be repeatable it begins and ends at fixed positions."""
        border = self.cache.layout.next_border(slot.filled)
        ends = [] if border is None else [border - slot.filled]
        ends += [self.cache.grain - slot.filled % self.cache.grain] if self.is_deterministic else []
        return min(count, *ends) if ends else count

    def _has_room(self, ticket: Ticket, count: int) -> bool:
        """Room for its next tokens, if need be that of others; False when it was itself the one to yield."""
        while ticket.unit.slot is not None:
            if self.cache.grow(ticket.slot, ticket.slot.filled + count):
                return True
            if not self._trimmed() and not self._merged():
                self._someone_yields()
        return False

    def _someone_yields(self) -> None:
        # Of one class those that have not yielded yet: the others got all the room they need, and are to keep it.
        victim = max(self._running, key=lambda one: (one.rank[:2], not one.is_firm, one.number))
        if len(self._running) == 1:
            victim.unit.fail(_no_room())
            self.leave(victim, keeps=False)
        else:
            self._yield(victim)

    def _yield(self, ticket: Ticket) -> None:
        """What it computed stays known until somebody needs the room, so going on may cost little."""
        self.leave(ticket)
        ticket.yields += 1
        self.counters.preempted += 1
        _enter(self._waiting, ticket)

    def _trimmed(self) -> bool:
        """Whether taking back what was given ahead made room."""
        before = self.cache.available
        for ticket in self._running:
            if not ticket.is_firm:
                self.cache.trim(ticket.slot)
        return self.cache.available > before

    def _merged(self) -> bool:
        """Whether there was room in what several had computed, and each kept for itself."""
        before = self.cache.available
        for ticket in self._running:
            self.cache.merge(ticket.slot)
        return self.cache.available > before

    def _is_being_computed(self, ticket: Ticket) -> bool:
        """Whether a running text begins like this one, a block or more beyond what is known already."""
        ids, limit = ticket.unit.ids, ticket.unit.first_wanted
        under, block = ticket.unit.request.kept_under, self.cache.block
        alike = [
            _shared_blocks(ids, running.unit.ids, limit, block)
            for running in self._running
            if running.left > 1 and running.unit.request.kept_under == under
        ]
        most = max(alike, default=0)
        return most >= block and most - self.cache.known(ids, limit, under) >= block


def _no_room() -> MemoryExhausted:
    return MemoryExhausted("out_of_memory", "there was not enough room for keys and values")


def _rank(ticket: Ticket) -> tuple[bool, int, int]:
    return ticket.rank


def _enter(line: list[Ticket], ticket: Ticket) -> None:
    insort(line, ticket, key=_rank)


def _shared_blocks(one: ListOf[int], other: ListOf[int], limit: int, block: int) -> int:
    """Tokens of the whole blocks, up to `limit`, that both begin with."""
    shared = 0
    while shared + block <= limit and one[shared : shared + block] == other[shared : shared + block]:
        shared += block
    return shared
