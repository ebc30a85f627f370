"""Where requests with pictures are read: one thread of its own, so that unpacking never holds up the server.

A few may wait. One more is refused at once, and one that is not read in time gets an answer in time; the thread goes on
with what it has, which file and pixel limits bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from engine.errors import Unavailable

WAITING = 32
READ_S = 30.0

Result = TypeVar("Result")


class Desk:
    """For all models of a host."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._pool = ThreadPoolExecutor(1, "pictures")
        self._most, self._waiting = waiting, 0

    async def read(self, work: Callable[[], Result], seconds: float) -> Result:
        """What `work` returns or raises. Unavailable when too many wait, or when it takes too long."""
        if self._waiting >= self._most:
            raise Unavailable("overloaded", f"{self._waiting} requests with images wait to be read; try again later")
        self._waiting += 1
        reading = asyncio.get_running_loop().run_in_executor(self._pool, work)
        reading.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(reading), min(seconds, READ_S))
        except TimeoutError as exc:
            reading.cancel()
            raise Unavailable("deadline_exceeded", "the images were not read within the request's deadline") from exc

    def _done(self, reading: asyncio.Future[Result]) -> None:
        self._waiting -= 1
        if not reading.cancelled():
            reading.exception()  # told to whoever waits; nobody may be left
