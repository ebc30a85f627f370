"""Which sequences run in the next step, and which may begin.

Every running answer gets its next token in every step; what is left of the step's budget goes to prompts, in pieces,
oldest first, so a long prompt delays others by one step at a time. A sequence begins only when all positions it may
ever need are reserved. One whose beginning is just being computed for another waits those few steps and takes it
over. Cancelled and expired sequences leave at the next step, and whichever way a sequence leaves, its room is given
back here.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence as ListOf
from typing import Protocol

from torch import Tensor

from engine.counters import Counters
from engine.errors import BadRequest, RequestError, Unavailable
from engine.events import GenerateRequest
from engine.kv_cache import KvCache, Slot
from engine.runner import Run, Runner

STEP_TOKENS = 256
"""Tokens of one step. A guard that arrives meanwhile waits for at most one step."""
MAX_RUNNING = 32
MAX_WAITING = 128


class Unit(Protocol):
    """What the scheduler runs: a Sequence, or several that are one."""

    slot: Slot | None
    computed: int

    @property
    def request(self) -> GenerateRequest: ...
    @property
    def ids(self) -> list[int]:
        """Prompt, and what was drawn."""

    @property
    def is_prefilling(self) -> bool: ...
    @property
    def first_wanted(self) -> int:
        """What lies before this token may be taken over instead of computed."""

    @property
    def cancelled(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def is_sound(self) -> bool:
        """False once its scores were not finite numbers: then its keys and values are not to be kept."""

    def next_ids(self, budget: int) -> ListOf[int]: ...
    def wanted(self, count: int) -> ListOf[int]: ...
    def take(self, logits_sv: Tensor) -> None: ...
    def fail(self, error: RequestError) -> None: ...


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
        self._waiting: list[Unit] = []
        self._running: list[Unit] = []
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def reserved(self) -> int:
        """Positions held by running sequences."""
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
            insort(self._waiting, unit, key=lambda one: one.request.priority)

    def next(self, now: float) -> GenerateStep | None:
        self._drop(now)
        self._admit()
        chosen: list[tuple[Unit, Run]] = []
        decoding = [unit for unit in self._running if not unit.is_prefilling]
        budget = max(1, self._step_tokens - len(decoding))
        for unit in decoding:
            chosen.append((unit, _run(unit, 1)))
        for unit in self._running:
            if unit.is_prefilling and budget > 0:
                run = _run(unit, budget)
                budget -= len(run.ids)
                chosen.append((unit, run))
        return GenerateStep(self, self._runner, chosen) if chosen else None

    def computed(self, unit: Unit) -> None:
        """Let others take over what the last step computed of this one; take its room back if it has ended."""
        if not unit.is_sound:
            self.leave(unit, keeps=False)
            self.cache.forget()
        elif unit.ended:
            self.leave(unit)
        elif unit.slot is not None:
            self.cache.publish(unit.slot, unit.ids, self._shared(unit))

    def leave(self, unit: Unit, keeps: bool = True) -> None:
        """Take a sequence out of the running ones and its room back; `keeps` what it computed, for others."""
        self._running.remove(unit)
        if unit.slot is not None:
            self.cache.release(unit.slot, unit.ids if keeps else (), self._shared(unit) if keeps else None)
            unit.slot = None

    def close(self, error: RequestError) -> None:
        for unit in (*self._waiting, *self._running):
            unit.fail(error)
        self._waiting.clear()
        for unit in tuple(self._running):
            self.leave(unit)

    def _shared(self, unit: Unit) -> int | None:
        """Repeatable keys come from prompts in fixed pieces only, not from answers drawn token by token."""
        return len(unit.request.prompt) if self.is_deterministic else None

    def _drop(self, now: float) -> None:
        expired = Unavailable("deadline_exceeded", "the request took longer than its deadline allows")
        for unit in (*self._waiting, *self._running):
            if not unit.cancelled and now > unit.request.deadline:
                unit.fail(expired)
        self._waiting = [unit for unit in self._waiting if _is_wanted(unit)]
        for unit in [one for one in self._running if not _is_wanted(one)]:
            self.leave(unit)

    def _admit(self) -> None:
        """First come, first served: a large request that waits is not overtaken for ever by small ones."""
        for unit in self._waiting[: self._max_running]:
            if len(self._running) >= self._max_running:
                return
            if self._is_being_computed(unit):
                continue
            request = unit.request
            slot = self.cache.reserve(request.positions, request.prompt, unit.first_wanted, request.kept_under)
            if slot is None:
                return
            unit.slot = slot
            self.counters.reused_tokens += slot.taken_over
            self._waiting.remove(unit)
            self._running.append(unit)

    def _is_being_computed(self, unit: Unit) -> bool:
        """Whether a running prompt begins like this one, a block or more beyond what is known already."""
        request, limit = unit.request, unit.first_wanted
        alike = [
            _shared_blocks(request.prompt, running.request.prompt, limit, self.cache.block)
            for running in self._running
            if running.is_prefilling and running.request.kept_under == request.kept_under
        ]
        most, block = max(alike, default=0), self.cache.block
        return most >= block and most - self.cache.known(request.prompt, limit, request.kept_under) >= block


class GenerateStep:
    """One pass of the model for some sequences, and one token for those whose prompt is through."""

    def __init__(self, lane: GenerateLane, runner: Runner, chosen: list[tuple[Unit, Run]]) -> None:
        self._lane, self._runner, self._chosen = lane, runner, chosen

    def run(self) -> None:
        logits_sv = self._runner.step([run for _, run in self._chosen])
        self._lane.counters.stepped(sum(len(run.ids) for _, run in self._chosen))
        for (unit, run), rows_sv in zip(self._chosen, _by_run(logits_sv, self._chosen), strict=True):
            unit.computed += len(run.ids)
            unit.take(rows_sv)
            self._lane.computed(unit)

    def fail(self, error: RequestError) -> None:
        self._lane.counters.failed_steps += 1
        for unit, _ in self._chosen:
            if unit.slot is not None:
                unit.fail(error)
                self._lane.leave(unit, keeps=False)


def _by_run(logits_sv: Tensor, chosen: list[tuple[Unit, Run]]) -> ListOf[Tensor]:
    rows, begin = [], 0
    for _, run in chosen:
        rows.append(logits_sv[begin : begin + len(run.wanted)])
        begin += len(run.wanted)
    return rows


def _shared_blocks(one: ListOf[int], other: ListOf[int], limit: int, block: int) -> int:
    """Tokens of the whole blocks, up to `limit`, that both begin with."""
    shared = 0
    while shared + block <= limit and one[shared : shared + block] == other[shared : shared + block]:
        shared += block
    return shared


def _run(unit: Unit, budget: int) -> Run:
    if unit.slot is None:
        raise AssertionError("a running sequence has a slot")
    ids = unit.next_ids(budget)
    return Run(unit.slot, ids, unit.wanted(len(ids)), unit.request.adapter, unit.request.pictures)


def _is_wanted(unit: Unit) -> bool:
    return not unit.cancelled and not unit.ended
