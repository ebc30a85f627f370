"""Appends without end and tells each receipt. Killed from outside; not a test itself."""

from __future__ import annotations

import asyncio
import os
from multiprocessing.connection import Connection
from pathlib import Path

from gateway.audit.log import AuditLog
from tests.gateway.audit.harness import exchange, settings_in


async def append_forever(log: AuditLog, name: str, to: Connection) -> None:
    number = 0
    while True:
        for record in exchange(f"{name}-{number}"):
            receipt = await log.append(record)  # type: ignore[arg-type]
            # One system call a line, so that what the test reads was promised, even if the process dies now.
            os.write(to.fileno(), b"%d %s\n" % (receipt.seq, receipt.leaf.hex().encode()))
        number += 1


def write_without_end(path: Path, boot: int, to: Connection) -> None:
    """Open the log and fill it from eight tasks."""
    asyncio.run(_write(path, boot, to))


async def _write(path: Path, boot: int, to: Connection) -> None:
    log = AuditLog.open(settings_in(path))
    await asyncio.gather(*(append_forever(log, f"{boot}-{task}", to) for task in range(8)))
