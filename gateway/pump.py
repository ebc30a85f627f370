"""A reader task in front of an iterator, so that text goes on arriving while a window of it is judged.

Cancelling the read of an async generator ends the generator; cancelling a wait for this buffer does not. The buffer is
bounded in characters and in events: a judge or a client that is slow slows the model server down instead of filling
our memory. What came before a failure is handed out before the failure is raised.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final

from gateway.exchange import AnswerEvent

ROOM_CHARS: Final = 65_536
"""Text that may wait unread: about a minute of the fastest decoding, so a judge in good health never stalls it."""
ROOM_EVENTS: Final = 4_096
"""The same for events, however little text is in them."""


class Pump:
    """Use as a context: leaving it stops the reader and raises nothing of its own."""

    def __init__(self, events: AsyncIterator[AnswerEvent], clock: Callable[[], float] = time.monotonic) -> None:
        self._events, self._clock = events, clock
        self._unread: list[AnswerEvent] = []
        self._chars = 0
        self._error: Exception | None = None
        self._over = False
        self._filled, self._space = asyncio.Event(), asyncio.Event()
        self.since = 0.0
        """When the first event of the latest batch came."""
        self._began = 0.0

    async def __aenter__(self) -> Pump:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _read(self) -> None:
        try:
            async for event in self._events:
                if not self._unread:
                    self._began = self._clock()
                    self._filled.set()
                self._unread.append(event)
                self._chars += event.size
                if self._chars >= ROOM_CHARS or len(self._unread) >= ROOM_EVENTS:
                    self._space.clear()
                    await self._space.wait()
        # Whatever ends the reading belongs to whoever waits for the next batch, so it is kept for them.
        except Exception as exc:  # noqa: BLE001
            self._error = exc
        finally:
            self._over = True
            self._filled.set()

    async def batch(self, timeout_s: float | None) -> list[AnswerEvent] | None:
        """Everything that has come, waiting for the first of it. [] at the end, None when nothing came in time."""
        if not self._filled.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._filled.wait()
            except TimeoutError:
                return None
        events, self._unread, self._chars, self.since = self._unread, [], 0, self._began
        if not self._over:
            self._filled.clear()
        self._space.set()
        if not events and self._error is not None:
            raise self._error
        return events
