"""What it costs to keep text: from handing it in until it cannot be lost, and what an erasure holds up.

    python -m bench.content --dir /var/tmp

Each text has a person of its own or shares one, as in traffic; the disk's sync time is measured first.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from types import MappingProxyType

import uvloop

from bench.audit import probe
from gateway.content.keys import Place
from gateway.content.settings import ContentSettings
from gateway.content.shred import Task, order, shred
from gateway.content.store import ContentStore, Item

CLASSES = MappingProxyType({"default": 30 * 24 * 3600 * 10**9})


async def keep_all(store: ContentStore, writers: int, texts: int, size: int) -> None:
    """Print rate and waits."""
    waits: list[float] = []

    async def writer(name: int) -> None:
        for number in range(texts // writers):
            ref = f"{size:08x}{writers:08x}{name:08x}{number:08x}"
            place = Place(ref, f"r{name}-{number}", "t", "default", "request", "b")
            started = time.perf_counter()
            await store.keep(Item(place, f"sub_{number % 50}", {"parts": [{"text": "x" * size}]}))
            waits.append(time.perf_counter() - started)

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(writer(name) for name in range(writers)))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    waits.sort()
    middle, late = waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3
    print(
        f"{size:>6} bytes, {writers:>3} writers: {len(waits) / seconds:>6.0f} texts/s, p50 {middle:.2f} ms, "
        f"p99 {late:.2f} ms, {cpu / len(waits) * 1e6:.0f} us of CPU each"
    )


async def erase_one(store: ContentStore) -> None:
    """Print how long the store is busy with a person."""
    task = Task("bench", {"type": "content.erase", "req": "bench"}, owner="sub_7")
    await store.do(lambda keys: order(keys, task))
    started = time.perf_counter()
    gone = await store.do(lambda keys: shred(keys, task))
    print(f"erasing a person with {gone} texts: {(time.perf_counter() - started) * 1e3:.0f} ms")


async def run(directory: Path, texts: int) -> None:
    settings = ContentSettings(directory / "master.key", CLASSES)
    print(f"a sync takes {probe(directory):.2f} ms")
    store = ContentStore.open(settings, directory / "state", "bench")
    for size in (2_000, 20_000):
        for writers in (1, 8, 64):
            await keep_all(store, writers, texts if writers > 1 else texts // 8, size)
    await erase_one(store)
    size = sum(path.stat().st_size for path in (directory / "state" / "keystore").iterdir())
    print(f"key store: {size / 1e6:.1f} MB")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.content")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="the disk to measure")
    parser.add_argument("--texts", type=int, default=8000, help="in each round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        uvloop.run(run(Path(directory), arguments.texts))


if __name__ == "__main__":
    main()
