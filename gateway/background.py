"""Tasks that nobody awaits: kept until they are over, and never over for a failure without a word.

asyncio holds on to no task, and tells of one that failed only once it is collected, which may be when the process ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.logs import place_of

log = structlog.get_logger()


class Background:
    """The tasks of one owner. Belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin it. What it raises is logged, by type and place, and goes nowhere else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def cancel(self) -> None:
        """End what has not ended."""
        for task in self._tasks:
            task.cancel()

    async def ended(self, patience_s: float | None = None) -> None:
        """Return when all of it has ended, or the patience is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            name = task.get_coro().__qualname__  # type: ignore[union-attr] # made from a coroutine above
            log.error("background_failed", work=name, error=type(exc).__name__, at=place_of(exc))
