"""Classifier requests gathered into batches.

The oldest request leads and younger ones join while the batch stays within the model's budget of tokens. A model that
runs packed takes texts of any lengths together; for one that pads, only texts of about the leader's length join, so a
short text never pays for a long one. The same text twice in a batch is computed once. A batch that did not fit into
memory is tried once more in halves; then only the half that failed is lost. A full queue refuses at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from engine.counters import Counters
from engine.errors import MemoryExhausted, RequestError, Unavailable

BUCKETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
LOOKED_AT = 128
"""Waiting texts that may join the oldest. Looking at all of them would take longer than judging some."""
MAX_WAITING = 1024
"""Texts that may wait for one classifier. At 5 ms each the last one waits 5 s, past any guard's deadline."""

Scores = tuple[float, ...]
Ids = tuple[int, ...]


class Judge(Protocol):
    """The part of a Classifier that batching needs. One that packs is called by several threads at once."""

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, padding included."""

    @property
    def packs(self) -> bool:
        """Whether texts of any lengths share a batch without padding each other."""

    def probabilities(self, batch: Sequence[Sequence[int]]) -> list[Scores]: ...


@dataclass(slots=True)
class ClassifyJob:
    """One text to classify. `resolve` is called once, from the engine thread."""

    ids: Ids = field(repr=False)
    deadline: float
    resolve: Callable[[Scores | RequestError], None]
    cancelled: bool = False
    """Set by the server when the client has left."""


class ClassifyLane:
    """The queue in front of one classifier."""

    def __init__(self, judge: Judge, max_waiting: int = MAX_WAITING) -> None:
        self._judge, self._max_waiting = judge, max_waiting
        self.counters = Counters()
        self._waiting: deque[ClassifyJob] = deque()

    @property
    def is_shared(self) -> bool:
        """Packed batches know nothing of each other. What transformers' own forwards keep between calls is unknown."""
        return self._judge.packs

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
        taken = self._taken(live)
        chosen = {id(job) for job in taken}
        self._waiting = deque(job for job in live if id(job) not in chosen)
        batch = ClassifyBatch(self._judge, taken)
        # Counted here, under the loop's lock, because two threads may run batches of one lane.
        self.counters.stepped(sum(map(len, batch.texts)))
        self.counters.reused_tokens += sum(map(_length, taken)) - sum(map(len, batch.texts))
        return batch

    def _taken(self, live: Iterable[ClassifyJob]) -> list[ClassifyJob]:
        """The oldest, and what of the others fits beside it. A text that is there already costs nothing."""
        size = _length if self._judge.packs else _bucket
        room = self._judge.batch_tokens
        taken: list[ClassifyJob] = []
        texts: set[Ids] = set()
        for job in islice(live, LOOKED_AT):
            fits = size(job) <= room and (self._judge.packs or not taken or size(job) == size(taken[0]))
            if not taken or fits or job.ids in texts:
                room -= 0 if job.ids in texts else size(job)
                taken.append(job)
                texts.add(job.ids)
        return taken

    def close(self, error: RequestError) -> None:
        while self._waiting:
            self._waiting.popleft().resolve(error)


class ClassifyBatch:
    """Some texts of about one length, judged in one pass."""

    def __init__(self, judge: Judge, jobs: list[ClassifyJob]) -> None:
        self._judge, self.jobs = judge, jobs
        self.texts = tuple(dict.fromkeys(job.ids for job in jobs))

    def run(self) -> None:
        found = dict(zip(self.texts, self._scores(self.texts), strict=True))
        for job in self.jobs:
            job.resolve(found[job.ids])

    def _scores(self, texts: Sequence[Ids]) -> Sequence[Scores | RequestError]:
        try:
            return self._judge.probabilities(texts)
        except MemoryExhausted:
            if len(texts) < 2:
                raise
        middle = len(texts) // 2
        return [*self._half(texts[:middle]), *self._half(texts[middle:])]

    def _half(self, texts: Sequence[Ids]) -> Sequence[Scores | RequestError]:
        try:
            return self._judge.probabilities(texts)
        except MemoryExhausted as exc:
            return [exc] * len(texts)

    def fail(self, error: RequestError) -> None:
        for job in self.jobs:
            job.resolve(error)


def _length(job: ClassifyJob) -> int:
    return len(job.ids)


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
