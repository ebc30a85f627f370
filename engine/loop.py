"""The engine threads: the only ones that compute.

Each takes one piece of work at a time, and one model's work is never in two hands, so models need no locks; only a
lane that says `is_shared` gives work to both, because its pieces know nothing of each other. Two
threads of one core each beat one thread of two cores on small models: both guards of a request run side by side, an
answer's step does not hold them up, and no core waits at a barrier for another that a different process is using.

Classifiers go first, because a held-back answer waits for them; after a burst of batches one generation step runs
all the same, so that a flood of guard calls slows answers down and never stops them. A piece of work that fails takes
only its own requests with it. Several failures in a row mean that the process is not sound: the loop gives up, tells
everybody, and the host exits so that its supervisor starts a fresh one. So it does at once where a lane fails at its
own book-keeping, which belongs to no piece of work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from engine.errors import RequestError, StepFailed, Unavailable
from engine.logs import log
from engine.work import Lane, Work

BURST = 8
"""Classifier batches in a row while an answer waits for its next token."""
MAX_FAILURES = 3
"""Failed pieces of work in a row before the process is given up."""


class EngineLoop:
    """Takes work from lanes until stopped. Lanes are touched only under `lock()` or by the thread that has them."""

    def __init__(
        self,
        first: Sequence[Lane],
        second: Sequence[Lane],
        given_up: Callable[[], None] = lambda: None,
        prepare: Sequence[Callable[[], None]] = (lambda: None,),
    ) -> None:
        """`first` are lanes with priority; there is one thread for each of `prepare`, which it calls first."""
        self._first, self._second, self._given_up = tuple(first), tuple(second), given_up
        self._changed = threading.Condition()
        self._busy: set[int] = set()
        self._seconds: dict[int, float] = {}
        self._stopping = False
        self._failures = self._burst = self._turn = 0
        self._threads = [
            threading.Thread(target=self._run, args=(one,), name=f"engine-{index}", daemon=True)
            for index, one in enumerate(prepare)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """For adding to a lane; wakes an engine thread. Refused once the loop is stopping."""
        with self._changed:
            if self._stopping:
                raise Unavailable("draining", "the model host is going down")
            yield
            self._changed.notify_all()

    def stop(self, timeout_s: float) -> None:
        """Fail what is left and end the threads. A step that is running finishes first."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    @property
    def pending(self) -> int:
        """Requests not finished, over all models. Zero when idle: nothing may leak."""
        return sum(lane.pending for lane in (*self._first, *self._second))

    def goes_first(self, lane: Lane) -> bool:
        """Whether this model's work has priority."""
        return any(lane is one for one in self._first)

    def busy_seconds(self, lane: Lane) -> float:
        """How long engine threads have worked for this model."""
        return self._seconds.get(id(lane), 0.0)

    def _run(self, prepare: Callable[[], None]) -> None:
        prepare()
        lane: Lane | None = None
        try:
            while (taken := self._wait()) is not None:
                lane, work = taken
                begun = time.monotonic()
                gave_up = self._do(work)
                with self._changed:
                    self._seconds[id(lane)] = self.busy_seconds(lane) + time.monotonic() - begun
                    self._busy.discard(id(lane))
                    self._changed.notify_all()
                lane = None
                if gave_up:
                    self._given_up()
        # Not a piece of work but a lane failed, at finding some or at telling of a failure: what it holds is not known.
        # Panics of libraries in Rust are no Exception, here and below.
        except BaseException as exc:  # noqa: BLE001
            log.error("engine_lost", error=type(exc).__name__)
            self._abandon(lane)

    def _abandon(self, lane: Lane | None) -> None:
        """Nobody is to wait for a thread that is gone."""
        try:
            with self._changed:
                self._stopping = True
                self._busy.discard(id(lane))
                self._changed.notify_all()
                self._close()
        finally:
            self._given_up()

    def _wait(self) -> tuple[Lane, Work] | None:
        with self._changed:
            while not self._stopping:
                if (taken := self._next(time.monotonic())) is not None:
                    if not getattr(taken[0], "is_shared", False):
                        self._busy.add(id(taken[0]))
                    return taken
                self._changed.wait()
            self._close()
        return None

    def _next(self, now: float) -> tuple[Lane, Work] | None:
        if self._burst < BURST and (taken := self._from(self._first, now)) is not None:
            self._burst += 1
            return taken
        self._burst = 0
        return self._from(self._second, now) or self._from(self._first, now)

    def _from(self, lanes: tuple[Lane, ...], now: float) -> tuple[Lane, Work] | None:
        """Models take turns: the one after the last served is asked first."""
        self._turn += 1
        for offset in range(len(lanes)):
            lane = lanes[(self._turn + offset) % len(lanes)]
            if id(lane) not in self._busy and (work := lane.next(now)) is not None:
                return lane, work
        return None

    def _do(self, work: Work) -> bool:
        """Run it, or tell its requests why not; True when it is time to give up."""
        try:
            work.run()
        except RequestError as exc:
            work.fail(exc)
        # Whatever torch raises (memory, shapes, a kernel) is this work's failure and nobody else's.
        except BaseException as exc:  # noqa: BLE001
            work.fail(StepFailed("step_failed", "the computation failed; the request may be sent again"))
            return self._failed(type(exc).__name__)
        self._failures = 0
        return False

    def _failed(self, error: str) -> bool:
        with self._changed:
            self._failures += 1
            in_a_row = self._failures
            self._stopping = self._stopping or in_a_row >= MAX_FAILURES
        log.error("step_failed", error=error, in_a_row=in_a_row, gives_up=in_a_row >= MAX_FAILURES)
        return in_a_row >= MAX_FAILURES

    def _close(self) -> None:
        """Fail what waits in lanes that nobody is working on; the thread that has another closes it afterwards."""
        for lane in (*self._first, *self._second):
            if id(lane) not in self._busy:
                lane.close(Unavailable("draining", "the model host is going down"))
