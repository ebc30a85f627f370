"""What one proof reads: of a log without tiles, with them, and between two sizes for a witness.

    python -m bench.audit_prove --records 1000000 --dir /var/tmp

Bytes are those the kernel counted for this process (`rchar`), so that nothing read is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.audit import ADMIT
from gateway.audit.keys import trust_path
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.proof import newest_head, prove
from gateway.audit.tile_cache import check, rebuild, tree_of
from gateway.audit.verify import load_trust

AT_ONCE = 1000


def bytes_read() -> int:
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"])


def measured(name: str, step: Callable[[], object]) -> None:
    began, before = time.perf_counter(), bytes_read()
    step()
    seconds, read = time.perf_counter() - began, bytes_read() - before
    print(f"{name:40} {seconds * 1e3:10.1f} ms {read / 1e3:12.1f} kB read")


async def write(settings: AuditSettings, records: int) -> None:
    log = AuditLog.open(settings)
    for first in range(0, records, AT_ONCE):
        await asyncio.gather(*(log.append(ADMIT | {"req": f"r{number}"}) for number in range(first, first + AT_ONCE)))
    await log.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as scratch:
        settings = AuditSettings(Path(scratch) / "log", "bench/one/audit", Path(scratch) / "keys" / "audit.pem")
        asyncio.run(write(settings, args.records))
        directory, key = settings.directory, load_trust(trust_path(settings.key_path, settings.origin))
        signed = newest_head(directory, key)
        size, root = signed.head.size, signed.head.root
        total = sum(path.stat().st_size for path in directory.glob("seg/*.jsonl"))
        print(f"{size} records, {total / 1e6:.0f} MB")
        measured("a proof without tiles", lambda: prove(directory, signed, [size // 2]))
        measured("all tiles from the records", lambda: rebuild(directory, size, root, lambda: None))
        measured("all tiles held against one another", lambda: check(directory, lambda: None))
        for index in (0, size // 2, size - 1):
            measured(f"a proof of record {index}", lambda at=index: prove(directory, signed, [at]))  # type: ignore[misc]
        measured("a consistency proof", lambda: tree_of(directory, size, root).consistency(size // 3, size))


if __name__ == "__main__":
    main()
