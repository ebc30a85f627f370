"""All detectors of a request at once, under one deadline; what comes back is a finding for each part and detector.

Nothing a guard does escapes as silence: an exception, a timeout, a missing guard or a verdict too few is a finding
with an error, and the policy says what that means. Cancelling the caller cancels every guard; nothing else is
swallowed. Rules are judged first and without a task, which keeps a request that only rules look at far below 100 µs.
Neither logs nor reports made here hold text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from guards.errors import ErrorKind, GuardError
from guards.memory import Remembering
from guards.rules.base import RuleGuard
from guards.verdict import NO_CONTEXT, Context, Finding, Guard, Part, Scope, Verdict


class Detector(Protocol):
    """What the panel reads of a detector in a policy."""

    @property
    def name(self) -> str: ...

    @property
    def timeout_s(self) -> float: ...


Report = Callable[[str, Exception], None]
"""Gets a detector's name and the exception that no guard should raise. Must not store the exception's text."""
Complain = Callable[[str, ErrorKind, str], None]
"""Gets a detector's name, the kind of its error and why there is no verdict, which holds no text that was judged."""


def say_nothing(_detector: str, _kind: ErrorKind, _problem: str) -> None:
    """For callers that show errors themselves."""


def log_crash(detector: str, exc: Exception) -> None:
    """The default report: where it happened and of which type, but not the message, which may quote text."""
    frame = exc.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    at = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
    structlog.get_logger("guards").error("guard_crashed", detector=detector, error=type(exc).__name__, at=at)


@dataclass(slots=True)
class _Batch:
    """The parts one detector looks at, and what became of them."""

    detector: Detector
    parts: list[Part] = field(default_factory=list)
    outcome: Sequence[Verdict] | ErrorKind = ErrorKind.UNAVAILABLE
    us: int = 0
    given: int = 0
    """Findings handed out so far; parts are met again in the same order."""

    def finding(self, part: Part) -> Finding:
        if isinstance(self.outcome, ErrorKind):
            return Finding(self.detector.name, part, None, self.outcome, self.us)
        verdict = self.outcome[self.given]
        self.given += 1
        return Finding(self.detector.name, part, verdict, None, self.us)


class Panel:
    """The guards behind the detectors of a policy, by detector name."""

    def __init__(
        self, guards: Mapping[str, Guard], report: Report = log_crash, complain: Complain = say_nothing
    ) -> None:
        self._guards, self._report, self._complain = dict(guards), report, complain

    @property
    def memories(self) -> dict[str, Remembering]:
        """The guards that remember verdicts, by detector name; what they counted goes into the metrics."""
        return {name: guard for name, guard in self._guards.items() if isinstance(guard, Remembering)}

    async def judge(
        self,
        parts: Sequence[Part],
        wanted: Callable[[Scope], Sequence[Detector]],
        deadline: float,
        context: Context = NO_CONTEXT,
    ) -> list[Finding]:
        """Findings by part, then in the order of `wanted`. `deadline` is in the event loop's `time()`."""
        by_scope = {scope: tuple(wanted(scope)) for scope in dict.fromkeys(part.scope for part in parts)}
        batches: dict[str, _Batch] = {}
        for part in parts:
            for detector in by_scope[part.scope]:
                batch = batches.get(detector.name)
                if batch is None:
                    batch = batches[detector.name] = _Batch(detector)
                batch.parts.append(part)
        slow = [batch for batch in batches.values() if not self._judge_now(batch)]
        if slow:
            async with asyncio.TaskGroup() as group:
                for batch in slow:
                    group.create_task(self._judge_in_time(batch, deadline, context))
        return [batches[detector.name].finding(part) for part in parts for detector in by_scope[part.scope]]

    def _judge_now(self, batch: _Batch) -> bool:
        """Rules on ordinary text; False leaves the batch to a task."""
        guard = self._guards.get(batch.detector.name)
        if not isinstance(guard, RuleGuard) or not guard.is_quick(batch.parts):
            return False
        started = time.perf_counter_ns()
        try:
            batch.outcome = guard.judge_now(batch.parts)
        # A rule that fails must not take the other detectors' findings with it; its own become errors.
        except Exception as exc:  # noqa: BLE001
            batch.outcome = self._kind(batch, exc)
        batch.us = (time.perf_counter_ns() - started) // 1_000
        return True

    async def _judge_in_time(self, batch: _Batch, deadline: float, context: Context) -> None:
        started = time.perf_counter_ns()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + batch.detector.timeout_s)):
                batch.outcome = await self._ask(batch, context)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            batch.outcome = ErrorKind.UNAVAILABLE  # something inside the guard was cancelled, not this request
        # One failing guard must not take the other detectors' findings with it; its own become errors.
        except Exception as exc:  # noqa: BLE001
            batch.outcome = self._kind(batch, exc)
        batch.us = (time.perf_counter_ns() - started) // 1_000

    async def _ask(self, batch: _Batch, context: Context) -> Sequence[Verdict]:
        name = batch.detector.name
        guard = self._guards.get(name)
        if guard is None:
            raise GuardError(name, ErrorKind.UNAVAILABLE, "no guard is set up for this detector")
        verdicts = await guard.judge(batch.parts, context)
        if len(verdicts) != len(batch.parts):
            raise GuardError(name, ErrorKind.BAD_ANSWER, f"{len(verdicts)} verdicts for {len(batch.parts)} parts")
        return verdicts

    def _kind(self, batch: _Batch, exc: Exception) -> ErrorKind:
        if isinstance(exc, GuardError):
            self._complain(batch.detector.name, exc.kind, exc.problem)
            return exc.kind
        if isinstance(exc, TimeoutError):
            self._complain(batch.detector.name, ErrorKind.TIMEOUT, "no verdict in time")
            return ErrorKind.TIMEOUT
        self._report(batch.detector.name, exc)
        return ErrorKind.BAD_ANSWER
