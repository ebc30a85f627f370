"""Classifier requests gathered into batches of like length.

The oldest request leads; others of about its length join while the batch stays small enough for the processor's
caches. Padding is bounded by the buckets, so a short text never pays for a long one. A full queue refuses at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.errors import RequestError, Unavailable

BUCKETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
BATCH_TOKENS = 256
"""Tokens of a batch, padding included. Measured on a CPU: more cost as much per token, and others wait longer."""
MAX_WAITING = 1024
"""Texts that may wait for one classifier. At 5 ms each the last one waits 5 s, past any guard's deadline."""

Scores = tuple[float, ...]


class Judge(Protocol):
    """The part of a Classifier that batching needs."""

    def probabilities(self, batch: Sequence[Sequence[int]]) -> list[Scores]: ...


@dataclass(slots=True)
class ClassifyJob:
    """One text to classify. `resolve` is called once, from the engine thread."""

    ids: Sequence[int] = field(repr=False)
    deadline: float
    resolve: Callable[[Scores | RequestError], None]
    cancelled: bool = False
    """Set by the server when the client has left."""


class ClassifyLane:
    """The queue in front of one classifier."""

    def __init__(self, judge: Judge, max_waiting: int = MAX_WAITING) -> None:
        self._judge, self._max_waiting = judge, max_waiting
        self._waiting: deque[ClassifyJob] = deque()

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def add(self, jobs: Sequence[ClassifyJob]) -> None:
        """All of them, or Unavailable and none."""
        if len(self._waiting) + len(jobs) > self._max_waiting:
            raise Unavailable("overloaded", f"{len(self._waiting)} texts wait for this classifier; try again later")
        self._waiting.extend(jobs)

    def next(self, now: float) -> ClassifyBatch | None:
        live = deque(job for job in self._waiting if _is_live(job, now))
        self._waiting = live
        if not live:
            return None
        bucket = _bucket(live[0])
        room = max(1, BATCH_TOKENS // bucket)
        taken = [job for job in live if _bucket(job) == bucket][:room]
        chosen = {id(job) for job in taken}
        self._waiting = deque(job for job in live if id(job) not in chosen)
        return ClassifyBatch(self._judge, taken)

    def close(self, error: RequestError) -> None:
        while self._waiting:
            self._waiting.popleft().resolve(error)


class ClassifyBatch:
    """Some texts of about one length, judged in one pass."""

    def __init__(self, judge: Judge, jobs: list[ClassifyJob]) -> None:
        self._judge, self.jobs = judge, jobs

    def run(self) -> None:
        for job, scores in zip(self.jobs, self._judge.probabilities([job.ids for job in self.jobs]), strict=True):
            job.resolve(scores)

    def fail(self, error: RequestError) -> None:
        for job in self.jobs:
            job.resolve(error)


def _bucket(job: ClassifyJob) -> int:
    index = bisect_left(BUCKETS, len(job.ids))
    return BUCKETS[index] if index < len(BUCKETS) else len(job.ids)


def _is_live(job: ClassifyJob, now: float) -> bool:
    if job.cancelled:
        return False
    if now > job.deadline:
        job.resolve(Unavailable("deadline_exceeded", "the text waited longer than its deadline allows"))
        return False
    return True
