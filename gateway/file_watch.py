"""Notices that a file was replaced or written, by looking: works on every file system, also on those of other hosts.

A change is told once the file has looked the same twice, so that one that is just being written is not read half.
A file that is gone is no change; its return is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

Look: TypeAlias = tuple[int, int, int] | None
"""How a file looked; None: it was not there."""


async def changes(path: Path, since: Look, every_s: float = 1.0) -> AsyncIterator[None]:
    """Yield after each change, also one from `since` to now. Ends only by being cancelled."""
    told = before = since
    while True:
        await asyncio.sleep(every_s)
        now = await asyncio.to_thread(look, path)
        if now is not None and now == before and now != told:
            told = now
            yield
        before = now


def look(path: Path) -> Look:
    """To be taken before the file is read: what is written from then on is a change."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
