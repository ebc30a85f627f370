"""Appends without end and prints each receipt. Killed from outside; not a test itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.audit.log import AuditLog
from tests.gateway.audit.harness import exchange, settings_in


async def append_forever(log: AuditLog, name: str) -> None:
    number = 0
    while True:
        for record in exchange(f"{name}-{number}"):
            receipt = await log.append(record)  # type: ignore[arg-type]
            # One system call a line, so that what the test reads was promised, even if the process dies now.
            sys.stdout.write(f"{receipt.seq} {receipt.leaf.hex()}\n")
            sys.stdout.flush()
        number += 1


async def main(path: Path, boot: str) -> None:
    log = AuditLog.open(settings_in(path))
    await asyncio.gather(*(append_forever(log, f"{boot}-{task}") for task in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
