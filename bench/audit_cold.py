"""What a large log costs when nothing of it is in memory: a start after a crash, a verification, closed segments.

    python -m bench.audit_cold --gib 1 --dir /var/tmp

The log is written by the gateway's own writer, without waiting for the disk, and left as a crash leaves it: no last
seal, and an exchange that is open. A start is timed until its `gateway.start` is durable, and beside it one that reads
the whole log, as if nothing were known of it. Cold means that the kernel was told to forget the files. Beside the
verification stands SHA-256 over each line, twice, in the same run: what no verification can be faster than.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.audit import ADMIT
from gateway.audit.compress import compress_older
from gateway.audit.epochs import load_chain
from gateway.audit.files import OsFiles
from gateway.audit.keys import trust_path
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.merkle import leaf_hash
from gateway.audit.record import Json
from gateway.audit.resume import READ_WHOLE
from gateway.audit.segments import list_segments, raw_lines
from gateway.audit.verify import load_trust, verify

TASKS = 256


class NoSync(OsFiles):
    """A log that is only made to be read."""

    def datasync(self, descriptor: int) -> None:
        """Nothing here is worth keeping."""

    def sync_directory(self, path: Path) -> None:
        """Nor its name."""


def exchange(rng: random.Random) -> list[dict[str, Json]]:
    """Two records that differ from those of other exchanges where real ones do."""
    request = f"req_{rng.getrandbits(96):024x}"
    size = rng.randrange(10, 9000)
    coverage = {**ADMIT["coverage"], "bytes": size, "bytes_scanned": size}

    def guards(scope: str, most: int) -> list[Json]:
        times = {"score_ppm": rng.randrange(10**6), "us": rng.randrange(90_000), "scope": scope}
        return [{**guard, **times} for guard in ADMIT["guards"][: rng.randrange(1, most + 1)]]

    http = {**ADMIT["http"], "bytes_in": size + 200}
    admit = {**ADMIT, "req": request, "guards": guards("user", 3), "http": http, "coverage": coverage}
    kept = {name: ADMIT[name] for name in ("tenant", "app", "policy", "decision")}
    complete = {**kept, "type": "response.complete", "stage": "complete", "req": request, "coverage": coverage}
    return [admit, {**complete, "guards": guards("output", 3), "stream": {"released": size, "received": size}}]


async def write(settings: AuditSettings, size: int) -> None:
    """A log of so many bytes, in exchanges that overlap."""
    log, rng = AuditLog.open(settings, files=NoSync()), random.Random(7)
    await log.append({"type": "policy.load", "stage": "complete", "policy": ADMIT["policy"]})
    segments = settings.directory / "seg"

    async def task() -> None:
        while sum(entry.stat().st_size for entry in os.scandir(segments)) < size:
            for _ in range(50):
                for record in exchange(rng):
                    await log.append(record)

    await asyncio.gather(*(task() for _ in range(TASKS)))
    await log.append(exchange(rng)[0])
    await log.close()


def crashed(settings: AuditSettings, place: Path) -> AuditSettings:
    """A copy as a crash leaves it."""
    shutil.copytree(settings.directory.parent, place)
    newest = list_segments(place / "log")[-1]
    newest.path.with_suffix(".seal").unlink()
    return replace(settings, directory=place / "log", key_path=place / "keys" / "audit.pem")


def forget(directory: Path) -> None:
    """Have the kernel drop what it holds of these files."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def start(settings: AuditSettings, is_cold: bool, read_whole: int) -> None:
    """Time until a start after a crash is durable."""
    with tempfile.TemporaryDirectory(dir=settings.directory.parent.parent) as scratch:
        again = replace(crashed(settings, Path(scratch) / "copy"), read_whole=read_whole)
        os.sync()
        if is_cold:
            forget(again.directory)
        started, cpu = time.perf_counter(), time.process_time()
        log = AuditLog.open(again)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        asyncio.run(log.close())
    what = "all of it" if read_whole > READ_WHOLE else "its newest segment"
    print(f"start, {'cold' if is_cold else 'warm'}, reading {what}: {seconds:.2f} s, {cpu:.2f} s of CPU")


def hash_twice(directory: Path, size: int) -> Callable[[], None]:
    """Each line's leaf, and the segment's digest: a part of the log, counted up to the whole."""
    lines = [line for line, _ in zip(raw_lines(list_segments(directory)[0].path), range(size), strict=False)]

    def run() -> None:
        for line in lines:
            leaf_hash(line)
            leaf_hash(line)

    return run


def check(settings: AuditSettings, what: str) -> None:
    key = load_trust(trust_path(settings.key_path, settings.origin))
    cpu = time.process_time()
    report = verify(settings.directory, key)
    cpu = time.process_time() - cpu
    assert report.finding is None, report.finding
    sample = min(report.records, 50_000)
    hashes, least = hash_twice(settings.directory, sample), time.process_time()
    hashes()
    least = (time.process_time() - least) / sample
    rate, times = report.records / cpu, cpu / report.records / least
    print(f"verify, {what}: {rate:,.0f} records per second of one core, {times:.1f} times its hashes")


def size_of(settings: AuditSettings) -> int:
    return sum(segment.path.stat().st_size for segment in list_segments(settings.directory))


def compress(settings: AuditSettings, records: int) -> None:
    chain = load_chain(settings.directory, load_trust(trust_path(settings.key_path, settings.origin)))
    cpu = time.process_time()
    done = list(compress_older(settings.directory, chain, time.time_ns() + 1, OsFiles()))
    cpu = time.process_time() - cpu
    before, after = sum(one.before for one in done), sum(one.after for one in done)
    print(f"compress: {before / 1e6 / cpu:.0f} MB per second of one core, {before / after:.1f} times smaller")
    each = sum(1 for _ in raw_lines(done[0].segment.path))
    print(f"bytes per record: {done[0].before / each:.0f}, compressed {done[0].after / each:.0f}; {records} records")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="a directory on the disk to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as scratch:
        place = Path(scratch) / "made"
        settings = AuditSettings(place / "log", "bench/one/audit", place / "keys" / "audit.pem", {"id": "bench"})
        uvloop.run(write(settings, round(arguments.gib * 2**30)))
        count = len(list_segments(settings.directory))
        print(f"{size_of(settings) / 2**30:.2f} GiB in {count} segments; load {os.getloadavg()[0]:.1f}")
        for is_cold in (False, True):
            for read_whole in (READ_WHOLE, 1 << 60):
                start(settings, is_cold, read_whole)
        check(settings, "as it was written")
        key = load_trust(trust_path(settings.key_path, settings.origin))
        compress(settings, verify(settings.directory, key).records)
        check(settings, "compressed")


if __name__ == "__main__":
    main()
