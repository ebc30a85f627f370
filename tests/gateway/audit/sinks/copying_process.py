"""Appends without end to a log with two required copies and tells each receipt. Killed from outside; not a test."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path

from gateway.audit.log import AuditLog
from gateway.audit.sinks.settings import DirectoryPlace, SinkSettings, SinksSettings
from tests.gateway.audit.harness import settings_in
from tests.gateway.audit.writer_process import append_forever

COPIES = ("left", "right")


def copying(path: Path) -> SinksSettings:
    for name in COPIES:
        (path / name).mkdir(exist_ok=True)
    sinks = tuple(SinkSettings(name, DirectoryPlace(path / name), required=True, deadline_s=20.0) for name in COPIES)
    return SinksSettings(sinks, 3, path / "state")


def write_copies_without_end(path: Path, boot: int, to: Connection) -> None:
    """Open the log and fill it from eight tasks."""
    asyncio.run(_write(path, boot, to))


async def _write(path: Path, boot: int, to: Connection) -> None:
    log = AuditLog.open(settings_in(path, sinks=copying(path)))
    await asyncio.gather(*(append_forever(log, f"{boot}-{task}", to) for task in range(8)))
