"""What durable records cost: appends from many tasks, a start that reads them back, and their verification.

    python -m bench.audit --writers 16 --records 40000 --dir /var/tmp
    python -m bench.audit --writers 16 --copy /mnt/other    # and with a copy there

Each writer admits exchanges and completes them, with records of 1.5 kB. CPU is that of the whole process, event loop
and writers included; the collector of cycles is set as in the gateway. The disk decides the rate, so its sync time is
measured first. The aim is 40,000 records a second at 64 writers, and a p99 below two syncs and 5 ms.
Beside the verification stands what it cannot be faster than, in the same run: SHA-256 over each line, and reading
and encoding it again by orjson; and the same by Python's own `json`, as `docs/verify.py` does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import uvloop

from gateway.audit.checkpoints import newest_checkpoint
from gateway.audit.epochs import load_chain
from gateway.audit.files import OsFiles
from gateway.audit.keys import trust_path
from gateway.audit.log import AuditLog, AuditSettings
from gateway.audit.merkle import leaf_hash
from gateway.audit.record import Json, parse_without_float
from gateway.audit.recover import recover
from gateway.audit.sinks.settings import DirectoryPlace, SinkSettings, SinksSettings
from gateway.audit.verify import load_trust, verify
from gateway.listening import set_aside_start

DIGEST = "sha256:" + "0123456789abcdef" * 4
GUARD: dict[str, Json] = {
    "scope": "user",
    "part": "/messages/0/content",
    "outcome": "ok",
    "score_ppm": 1234,
    "threshold_ppm": 500_000,
}
ADMIT: dict[str, Json] = {
    "type": "request.admit",
    "stage": "admit",
    "tenant": "acme",
    "app": "chat",
    "actor": {"type": "key", "key_id": "k_demo", "auth": "api_key"},
    "http": {"route": "/v1/chat/completions", "method": "POST", "bytes_in": 812},
    "target": {"upstream": "engine", "model_req": "gatehouse-starter"},
    "policy": {"name": "default", "version": "1", "src_digest": DIGEST, "compiled_digest": DIGEST},
    "guards": [{"name": name, "weights_digest": DIGEST, **GUARD} for name in ("injection", "hazard", "unicode")],
    "coverage": {"parts": 1, "parts_scanned": 1, "bytes": 64, "bytes_scanned": 64, "uncovered": []},
    "decision": {"outcome": "allow", "action": "allow", "rules": [], "shadow": []},
}
COMPLETE: dict[str, Json] = {**ADMIT, "type": "response.complete", "stage": "complete"}
AIM_RATE, AIM_WRITERS = 40_000, 64


def probe(directory: Path) -> float:
    """Median milliseconds of a sync after 2 KiB, on this disk, now."""
    times = []
    with (directory / "probe").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(2048))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return sorted(times)[100] * 1e3


def copying(place: Path, copy: Path, require: int) -> SinksSettings:
    """One directory sink below `copy`."""
    copy.mkdir()
    return SinksSettings((SinkSettings("copy", DirectoryPlace(copy)),), require, place / "state")


async def append_all(settings: AuditSettings, writers: int, records: int) -> tuple[float, float]:
    """Records a second, and the p99 of their waits in ms."""
    set_aside_start()
    log = AuditLog.open(settings)
    await log.append({"type": "policy.load", "stage": "complete", "policy": ADMIT["policy"]})
    waits: list[float] = []

    async def writer(name: int) -> None:
        for number in range(records // writers):
            started = time.perf_counter()
            await log.append({**(COMPLETE if number % 2 else ADMIT), "req": f"{name}-{number // 2}"})
            waits.append(time.perf_counter() - started)

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(writer(name) for name in range(writers)))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    await log.close()
    count, waits = len(waits), sorted(waits)
    p50, p99 = waits[count // 2] * 1e3, waits[count * 99 // 100] * 1e3
    print(f"append, {writers} writers: {count / seconds:,.0f}/s, {cpu / count * 1e6:.1f} us CPU each, ", end="")
    print(f"p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return count / seconds, p99


def hold_against_aim(rate: float, p99: float, sync: float) -> None:
    bound = 2 * sync + 5
    print(f"  aim: {rate / AIM_RATE:.0%} of {AIM_RATE:,}/s; p99 {p99 / bound:.0%} of {bound:.1f} ms")


def read_back(settings: AuditSettings) -> None:
    key = load_trust(trust_path(settings.key_path, settings.origin))
    for name in ("start", "verify"):
        cpu = time.process_time()
        if name == "start":
            chain = load_chain(settings.directory, key)
            signed = newest_checkpoint(settings.directory, chain)
            count = recover(settings.directory, signed.head if signed else None, OsFiles(), chain).tree.size
        else:
            report = verify(settings.directory, key)
            count = report.records
            if report.finding is not None:
                print(f"DOES NOT HOLD: {report.finding}")
        cpu = time.process_time() - cpu
        size = sum(file.stat().st_size for file in (settings.directory / "seg").iterdir()) / count
        print(f"{name}: {count / cpu:,.0f} records of {size:.0f} bytes per second of one core")
    compare(settings)


def compare(settings: AuditSettings) -> None:
    """What the parts of a verification cost by themselves."""
    lines = [line for file in (settings.directory / "seg").glob("*.jsonl") for line in file.read_bytes().splitlines()]

    def by_json(line: bytes) -> bool:
        record = json.loads(line.decode())
        return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == line

    parts: dict[str, Callable[[bytes], object]] = {
        "hash": leaf_hash,
        "hash, read and encode by orjson": lambda line: (leaf_hash(line), parse_without_float(line)),
        "hash, read and encode by json": lambda line: (leaf_hash(line), by_json(line)),
    }
    for name, part in parts.items():
        cpu = time.process_time()
        for line in lines:
            part(line)
        print(f"  {name}: {len(lines) / (time.process_time() - cpu):,.0f}")


def measure_copies(settings: AuditSettings, other: Path, writers: int, records: int) -> None:
    """The same appends with a copy that nobody waits for, and with one that every record waits for."""
    for require, what in ((1, "a copy, not waited for"), (2, "a copy, required")):
        place = settings.directory.parent / f"require-{require}"
        sinks = copying(place, other / str(require), require)
        print(f"{what}: ", end="")
        again = replace(settings, directory=place / "log", key_path=place / "keys" / "audit.pem", sinks=sinks)
        uvloop.run(append_all(again, writers, records))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="a directory on the disk to measure")
    parser.add_argument("--copy", type=Path, help="a directory on the disk where a copy is to be measured")
    arguments = parser.parse_args()
    for writers in arguments.writers:
        with tempfile.TemporaryDirectory(dir=arguments.dir) as scratch:
            place = Path(scratch)
            sync = probe(place)
            print(f"sync of this disk: median {sync:.2f} ms; load {os.getloadavg()[0]:.1f}")
            settings = AuditSettings(place / "log", "bench/one/audit", place / "keys" / "audit.pem", {"id": "bench"})
            rate, p99 = uvloop.run(append_all(settings, writers, arguments.records))
            if writers == AIM_WRITERS:
                hold_against_aim(rate, p99, sync)
            if arguments.copy is not None:
                with tempfile.TemporaryDirectory(dir=arguments.copy) as other:
                    measure_copies(settings, Path(other), writers, arguments.records)
            if writers == arguments.writers[-1]:
                read_back(settings)


if __name__ == "__main__":
    main()
