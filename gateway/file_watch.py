"""Notices that a file was replaced or written, by looking: works on every file system, also on those of other hosts.

A change is told once the file has looked the same twice, so that one that is just being written is not read half.
A file that is gone is no change; its return is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

_Look = tuple[int, int, int] | None


async def changes(path: Path, every_s: float = 1.0) -> AsyncIterator[None]:
    """Yield after each change. Ends only by being cancelled."""
    told = before = await asyncio.to_thread(_look, path)
    while True:
        await asyncio.sleep(every_s)
        now = await asyncio.to_thread(_look, path)
        if now is not None and now == before and now != told:
            told = now
            yield
        before = now


def _look(path: Path) -> _Look:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
