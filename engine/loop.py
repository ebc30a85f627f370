"""The engine thread: the only one that computes.

Classifiers go first, because a held-back answer waits for them; after a burst of batches one generation step runs
all the same, so that a flood of guard calls slows answers down and never stops them. A piece of work that fails takes
only its own requests with it. Several failures in a row mean that the process is not sound: the loop gives up, tells
everybody, and the host exits so that its supervisor starts a fresh one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.errors import RequestError, StepFailed, Unavailable
from engine.logs import log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.work import Lane, Work

BURST = 8
"""Classifier batches in a row while an answer waits for its next token."""
MAX_FAILURES = 3
"""Failed pieces of work in a row before the process is given up."""


class EngineLoop:
    """Takes work from lanes until stopped. Lanes are touched only under `lock()` or by the engine thread."""

    def __init__(
        self, first: Mapping[str, Lane], second: Mapping[str, Lane], given_up: Callable[[], None], threads: int = 0
    ) -> None:
        self._first, self._second, self._given_up, self._threads = dict(first), dict(second), given_up, threads
        self._changed = threading.Condition()
        self._stopping = False
        self._failures = self._burst = self._turn = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """For adding to a lane or cancelling; wakes the engine thread. Refused once the loop is stopping."""
        with self._changed:
            if self._stopping:
                raise Unavailable("draining", "the model host is going down")
            yield
            self._changed.notify()

    def stop(self, timeout_s: float) -> None:
        """Fail what is left and end the thread. A step that is running finishes first."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    @property
    def pending(self) -> int:
        """Requests not finished, over all models. Zero when idle: nothing may leak."""
        return sum(lane.pending for lane in (*self._first.values(), *self._second.values()))

    def _run(self) -> None:
        if self._threads:
            import torch

            torch.set_num_threads(self._threads)
        while (work := self._wait()) is not None:
            self._do(work)
        self._close(Unavailable("draining", "the model host is going down"))

    def _wait(self) -> Work | None:
        with self._changed:
            while not self._stopping:
                if (work := self._next(time.monotonic())) is not None:
                    return work
                self._changed.wait()
        return None

    def _next(self, now: float) -> Work | None:
        if self._burst < BURST and (work := self._from(self._first, now)) is not None:
            self._burst += 1
            return work
        self._burst = 0
        return self._from(self._second, now) or self._from(self._first, now)

    def _from(self, lanes: dict[str, Lane], now: float) -> Work | None:
        """Models take turns: the one after the last served is asked first."""
        self._turn += 1
        ordered = list(lanes.values())
        for offset in range(len(ordered)):
            if (work := ordered[(self._turn + offset) % len(ordered)].next(now)) is not None:
                return work
        return None

    def _do(self, work: Work) -> None:
        try:
            work.run()
        except RequestError as exc:
            work.fail(exc)
        # Whatever torch raises (memory, shapes, a kernel) is this work's failure and nobody else's.
        except Exception as exc:  # noqa: BLE001
            self._failures += 1
            log.error("step_failed", error=type(exc).__name__, in_a_row=self._failures)
            work.fail(StepFailed("step_failed", "the computation failed; the request may be sent again"))
            if self._failures >= MAX_FAILURES:
                self._give_up()
        else:
            self._failures = 0

    def _give_up(self) -> None:
        log.error("engine_gave_up", failures=self._failures)
        with self._changed:
            self._stopping = True
        self._given_up()

    def _close(self, error: RequestError) -> None:
        with self._changed:
            for lane in (*self._first.values(), *self._second.values()):
                lane.close(error)
