"""Which sequences run in the next step, and which may begin.

Every running answer gets its next token in every step; what is left of the step's budget goes to prompts, in pieces,
oldest first, so a long prompt delays others by one step at a time. A sequence begins only when all positions it may
ever need are reserved. Cancelled and expired sequences leave at the next step, and whichever way a sequence leaves,
its room is given back here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as ListOf

from engine.errors import BadRequest, RequestError, Unavailable
from engine.events import GenerateRequest
from engine.kv_cache import KvCache
from engine.runner import Run, Runner
from engine.sequence import Sequence

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
    ) -> None:
        self._runner, self._cache = runner, cache
        self.max_model_len = min(max_positions, cache.capacity)
        self._max_running, self._max_waiting = max_running, max_waiting
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def reserved(self) -> int:
        """Positions held by running sequences."""
        return self._cache.reserved

    def check(self, request: GenerateRequest) -> None:
        """BadRequest unless the request can be served to its end on an empty machine."""
        asked = len(request.prompt) + request.max_tokens
        if asked > self.max_model_len:
            told = f"{len(request.prompt)} prompt tokens and max_tokens {request.max_tokens} make {asked} positions"
            raise BadRequest("context_length_exceeded", f"{told}, this model has {self.max_model_len}", "max_tokens")

    def add(self, sequences: ListOf[Sequence]) -> None:
        """All of them, or Unavailable and none."""
        for sequence in sequences:
            self.check(sequence.request)
        if len(self._waiting) + len(sequences) > self._max_waiting:
            raise Unavailable("overloaded", f"{len(self._waiting)} requests wait for this model; try again later")
        self._waiting.extend(sequences)

    def next(self, now: float) -> GenerateStep | None:
        self._drop(now)
        self._admit()
        chosen: list[tuple[Sequence, Run]] = []
        decoding = [sequence for sequence in self._running if not sequence.is_prefilling]
        budget = max(1, STEP_TOKENS - len(decoding))
        for sequence in decoding:
            chosen.append((sequence, _run(sequence, 1)))
        for sequence in self._running:
            if sequence.is_prefilling and budget > 0:
                run = _run(sequence, budget)
                budget -= len(run.ids)
                chosen.append((sequence, run))
        return GenerateStep(self, self._runner, chosen) if chosen else None

    def leave(self, sequence: Sequence) -> None:
        """Take a sequence out of the running ones and its room back."""
        self._running.remove(sequence)
        if sequence.slot is not None:
            self._cache.release(sequence.slot)
            sequence.slot = None

    def close(self, error: RequestError) -> None:
        for sequence in (*self._waiting, *self._running):
            sequence.fail(error)
        self._waiting.clear()
        for sequence in tuple(self._running):
            self.leave(sequence)

    def _drop(self, now: float) -> None:
        expired = Unavailable("deadline_exceeded", "the request took longer than its deadline allows")
        for sequence in (*self._waiting, *self._running):
            if not sequence.cancelled and now > sequence.request.deadline:
                sequence.fail(expired)
        self._waiting = deque(sequence for sequence in self._waiting if _is_wanted(sequence))
        for sequence in [one for one in self._running if not _is_wanted(one)]:
            self.leave(sequence)

    def _admit(self) -> None:
        """First come, first served: a large request that waits is not overtaken for ever by small ones."""
        while self._waiting and len(self._running) < self._max_running:
            positions = self._waiting[0].request.positions
            if not self._cache.has_room(positions):
                return
            sequence = self._waiting.popleft()
            sequence.slot = self._cache.reserve(positions)
            self._running.append(sequence)


class GenerateStep:
    """One pass of the model for some sequences, and one token for those whose prompt is through."""

    def __init__(self, lane: GenerateLane, runner: Runner, chosen: list[tuple[Sequence, Run]]) -> None:
        self._lane, self._runner, self._chosen = lane, runner, chosen

    def run(self) -> None:
        logits_sv = self._runner.step([run for _, run in self._chosen])
        drawing = [sequence for sequence, run in self._chosen if run.wants_logits]
        for sequence, logits_v in zip(drawing, logits_sv, strict=True):
            try:
                sequence.draw(logits_v)
            except RequestError as exc:
                sequence.fail(exc)
            if sequence.ended:
                self._lane.leave(sequence)

    def fail(self, error: RequestError) -> None:
        for sequence, _ in self._chosen:
            if sequence.slot is not None:
                sequence.fail(error)
                self._lane.leave(sequence)


def _run(sequence: Sequence, budget: int) -> Run:
    if sequence.slot is None:
        raise AssertionError("a running sequence has a slot")
    ids = sequence.next_ids(budget)
    return Run(sequence.slot, ids, sequence.wants_logits(ids))


def _is_wanted(sequence: Sequence) -> bool:
    return not sequence.cancelled and not sequence.ended
