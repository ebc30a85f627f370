"""One short life of a log in a process of its own, begun when the tracer is there. Not a test itself.

What was promised is noted in memory that the test shares: noting it is no system call that could be made to fail.
"""

from __future__ import annotations

import asyncio
import mmap
from multiprocessing.connection import Connection
from pathlib import Path

from gateway.audit.errors import AuditError, AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.writer import Receipt
from tests.gateway.audit.harness import exchange, settings_in

SIZE = 40
"""Bytes of a note: the record's number and its leaf hash."""


class Notes:
    """Receipts in a file that both processes have in memory. A note counts once the count does."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    @classmethod
    def new(cls, path: Path) -> Notes:
        path.write_bytes(bytes(8 + 100 * SIZE))
        return cls(path)

    def add(self, seq: int, leaf: bytes) -> None:
        count = int.from_bytes(self._memory[:8])
        at = 8 + count * SIZE
        self._memory[at : at + SIZE] = seq.to_bytes(8) + leaf
        self._memory[:8] = (count + 1).to_bytes(8)

    def all(self) -> dict[int, bytes]:
        rows = (8 + number * SIZE for number in range(int.from_bytes(self._memory[:8])))
        return {int.from_bytes(self._memory[at : at + 8]): self._memory[at + 8 : at + SIZE] for at in rows}


def live(path: Path, notes: Path, begin: Connection) -> None:
    """Wait for the tracer, then open the log, record three exchanges and close it."""
    written = Notes(notes)
    begin.recv()
    asyncio.run(_life(path, written))


async def _life(path: Path, notes: Notes) -> None:
    log = _open(path)
    for number in range(3):
        for record in exchange(str(number)):
            receipt = await _append(log, record)
            notes.add(receipt.seq, receipt.leaf)
    await log.close()


def _open(path: Path) -> AuditLog:
    """As a supervisor does: a start that was refused is tried again."""
    for _ in range(3):
        try:
            return AuditLog.open(settings_in(path, checkpoint_interval_s=0.0, probe_interval_s=0.005))
        except AuditError as exc:
            problem = exc
    raise problem


async def _append(log: AuditLog, record: dict[str, object]) -> Receipt:
    while True:
        try:
            return await log.append(record)  # type: ignore[arg-type]
        except AuditUnavailable:
            await asyncio.sleep(0.002)
