"""Judges a set with real guards: some rows one at a time for the latency, the rest side by side for throughput.

Rows go through the gateway's own panel, so a timeout, a crash or a malformed answer is what it would be there: an
error of that row, counted, never a pass. Nothing is remembered between rows. The text stays in this process.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from gateway.evaluate.rows import LabelledSet, Row
from gateway.evaluate.run import Judged, ScoredRow, Subject
from guards.panel import Panel, log_crash
from guards.verdict import Finding, Guard, Scope

ALONE = 200
"""Rows judged one at a time, at most; never more than half of the set."""
WARM_UP = 3
_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class Bench:
    """A detector and the guard behind it."""

    subject: Subject
    guard: Guard


@dataclass(frozen=True, slots=True)
class Pace:
    """How a set is judged."""

    concurrency: int = 8
    alone: int = ALONE
    timeout_s: float = 60.0
    """For one row; the policy's is for live traffic."""


@dataclass(frozen=True, slots=True)
class _Timed:
    """What the panel reads of a detector."""

    name: str
    timeout_s: float


Progress = Callable[[str, int, int], None]
"""Told (detector, rows judged, rows of the set) now and then."""


def no_progress(_detector: str, _done: int, _of: int) -> None:
    """Nobody watches."""


async def judge_set(
    labelled: LabelledSet, benches: Sequence[Bench], pace: Pace, progress: Progress = no_progress
) -> tuple[tuple[Subject, ...], tuple[ScoredRow, ...]]:
    """One detector after the other, so that none slows another down."""
    subjects, columns = [], []
    for bench in benches:
        subject, column = await _Judging(bench, pace, labelled.rows, progress).run()
        subjects.append(subject)
        columns.append(column)
    names = [subject.name for subject in subjects]
    key = secrets.token_bytes(32)
    rows = tuple(
        _scored(row, key, dict(zip(names, judged, strict=True)))
        for row, *judged in zip(labelled.rows, *columns, strict=True)
    )
    return tuple(subjects), rows


class _Judging:
    """One detector over all rows."""

    def __init__(self, bench: Bench, pace: Pace, rows: Sequence[Row], progress: Progress) -> None:
        self._subject, self._pace, self._rows, self._progress = bench.subject, pace, rows, progress
        self._detector = (_Timed(bench.subject.name, pace.timeout_s),)
        self._panel = Panel({bench.subject.name: bench.guard}, _FirstOfEachKind())
        self._judged: list[Judged | None] = [None] * len(rows)
        self._done = 0

    async def run(self) -> tuple[Subject, list[Judged]]:
        alone = sample(len(self._rows), self._pace.alone)
        chosen = set(alone)
        rest = [index for index in range(len(self._rows)) if index not in chosen]
        for index in alone[:WARM_UP]:
            await self._judge(self._rows[index], alone=False)
        for index in alone:
            self._keep(index, await self._judge(self._rows[index], alone=True))
        began = time.perf_counter_ns()
        await self._together(iter(rest))
        wall_us = (time.perf_counter_ns() - began) // 1_000
        concurrency = min(self._pace.concurrency, len(rest))
        subject = replace(self._subject, rows=len(rest), wall_us=wall_us if rest else 0, concurrency=concurrency)
        return subject, [judged for judged in self._judged if judged is not None]

    async def _together(self, indexes: Iterator[int]) -> None:
        async def work() -> None:
            for index in indexes:
                self._keep(index, await self._judge(self._rows[index], alone=False))

        async with asyncio.TaskGroup() as group:
            for _ in range(self._pace.concurrency):
                group.create_task(work())

    async def _judge(self, row: Row, alone: bool) -> Judged:
        began = time.perf_counter_ns()
        deadline = asyncio.get_running_loop().time() + self._pace.timeout_s
        (finding,) = await self._panel.judge([row.part], self._wanted, deadline, row.context)
        return _judged(finding, (time.perf_counter_ns() - began) // 1_000, alone)

    def _wanted(self, _scope: Scope) -> tuple[_Timed, ...]:
        return self._detector

    def _keep(self, index: int, judged: Judged) -> None:
        self._judged[index] = judged
        self._done += 1
        self._progress(self._subject.name, self._done, len(self._rows))


class _FirstOfEachKind:
    """Logs the first crash of each type: the rest of a set would say the same, a row at a time."""

    def __init__(self) -> None:
        self._seen: set[type[Exception]] = set()

    def __call__(self, detector: str, exc: Exception) -> None:
        if type(exc) not in self._seen:
            self._seen.add(type(exc))
            log_crash(detector, exc)


def sample(rows: int, most: int) -> list[int]:
    """Indexes spread evenly over the set, at most half of it: sets are often sorted by source or label."""
    count = min(most, rows // 2)
    return [index * rows // count for index in range(count)] if count else []


def _judged(finding: Finding, us: int, alone: bool) -> Judged:
    verdict = finding.verdict
    if verdict is None:
        return Judged(None, str(finding.error), us=us, alone=alone)
    categories = MappingProxyType(dict(verdict.categories))
    return Judged(verdict.score_ppm, "", categories, verdict.windows, verdict.view, us, alone)


def _scored(row: Row, key: bytes, judged: dict[str, Judged]) -> ScoredRow:
    id_ = hmac.new(key, row.text.encode(), "sha256").hexdigest()[: 2 * _ID_BYTES]
    return ScoredRow(
        row.line, id_, row.label, MappingProxyType(judged), row.categories, row.language, row.source, row.role
    )


def hardware() -> str:
    """What the numbers were taken on."""
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = os.uname()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model or machine.machine}, {cores} cores, {memory:.0f} GiB, {machine.sysname} {machine.machine}"
