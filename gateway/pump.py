"""A reader task in front of an iterator, so that waiting for it can time out without breaking it.

Cancelling the read of an async generator ends the generator; cancelling the read of a queue does not. The queue is
bounded: a client that reads slowly slows the model server down instead of filling our memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final

from gateway.exchange import AnswerEvent

_ROOM: Final = 256


class Pump:
    """Use as a context: leaving it stops the reader and raises nothing of its own."""

    def __init__(self, events: AsyncIterator[AnswerEvent]) -> None:
        self._events = events
        self._queue: asyncio.Queue[AnswerEvent | Exception | None] = asyncio.Queue(_ROOM)

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
                await self._queue.put(event)
            await self._queue.put(None)
        # Whatever ends the reading belongs to whoever waits for the next batch, so it travels through the queue.
        except Exception as exc:  # noqa: BLE001
            await self._queue.put(exc)

    async def batch(self, timeout_s: float | None) -> list[AnswerEvent] | None:
        """Everything that has come, waiting for the first of it. [] at the end, None when nothing came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                item = await self._queue.get()
        except TimeoutError:
            return None
        events: list[AnswerEvent] = []
        while isinstance(item, AnswerEvent):
            events.append(item)
            if self._queue.empty():
                return events
            item = self._queue.get_nowait()
        if isinstance(item, Exception):
            raise item
        if events:
            self._queue.put_nowait(None)  # the end is told once what came before it was taken
        return events
