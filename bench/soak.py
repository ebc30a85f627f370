"""A day of a model host in an hour: many short requests of all kinds over its real socket, and what is left afterwards.

The starter engine with two adapters, the same once more as a generative guard, and the two starter classifiers, with
so little room for keys and values that sequences have to yield. Memory of the process is read at every quarter; at the
end nothing may be pending, no block held, and nothing have been answered otherwise than its kind allows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.adapters import random_adapter
from bench.gatehouse import ROOT
from bench.model_host import BASE, NotReady, Serving, serving
from bench.soak_work import CHAT, CLASSIFIERS, GUARD, KINDS, Session, drawn_kind

STARTER = ROOT / "engine" / "starter" / "model"
KV_BYTES = 2 * 1024**2
"""Of each generating model: one of the longest requests and a bit, so that sequences have to yield."""
CALLERS = 16
GAUGES = ("engine_queue_depth", "engine_running", "engine_kv_blocks_held")
COUNTED = ("engine_preempted_total", "engine_recomputed_tokens_total", "engine_evicted_blocks_total")


@dataclass(slots=True)
class Soaked:
    """What came of it."""

    told: Counter[str] = field(default_factory=Counter)
    """By kind and outcome."""
    wrong: list[str] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    """MiB at the start of each quarter and at the end, the first quarter's once all is warm."""
    left: dict[str, float] = field(default_factory=dict)
    counted: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        return not self.wrong and not any(self.left.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when nothing was left behind, 1 otherwise, 2: not measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--callers", type=int, default=CALLERS, help="requests at the same time")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--progress", type=Path, metavar="FILE", help="a line for every hundredth part")
    args = parser.parse_args(argv)
    try:
        found = soak(args.requests, args.callers, args.seed, args.progress)
    except NotReady as exc:
        print(f"not measured: {exc}", file=sys.stderr)
        return 2
    print(json.dumps(_as_json(found), indent=1))
    return 0 if found.is_well else 1


def soak(requests: int, callers: int = CALLERS, seed: int = 7, progress: Path | None = None) -> Soaked:
    with tempfile.TemporaryDirectory(prefix="gatehouse-soak-") as directory:
        place = Path(directory)
        adapters = {name: str(random_adapter(STARTER, place / name, 4, at)) for at, name in enumerate(("one", "two"))}
        specs = [
            {"name": CHAT, "path": str(STARTER), "task": "generate", "kv_bytes": KV_BYTES, "adapters": adapters},
            {"name": GUARD, "path": str(STARTER), "task": "generate", "role": "guard", "kv_bytes": KV_BYTES}
            | {"kv_precision": "int8"},
            *({"name": one, "path": str(ROOT / "guards" / "starter" / one), "task": "classify"} for one in CLASSIFIERS),
        ]
        with serving(specs, 1, place / "host.log") as host:
            return asyncio.run(_soak(host, requests, callers, seed, progress))


async def _soak(host: Serving, requests: int, callers: int, seed: int, progress: Path | None) -> Soaked:
    found, begun = Soaked(), time.monotonic()
    numbers = iter(range(requests))
    async with host.session(callers) as session:

        async def caller() -> None:
            for number in numbers:
                if number % max(1, requests // 4) == requests // 20:
                    found.resident.append(_resident(host.pid))
                await _ask(session, random.Random(f"{seed} {number}"), found)
                if progress is not None and number % max(1, requests // 100) == 0:
                    _note(progress, number, host, found, begun)

        await asyncio.gather(*(caller() for _ in range(callers)))
        found.left = await _left(session)
        found.counted = await _read(session, COUNTED)
    found.resident.append(_resident(host.pid))
    found.seconds = time.monotonic() - begun
    return found


async def _ask(session: Session, draw: random.Random, found: Soaked) -> None:
    kind = drawn_kind(draw)
    outcome = await kind(session, draw)
    found.told[f"{kind.__name__}: {outcome}"] += 1
    if outcome not in KINDS[kind][1]:
        found.wrong.append(f"{kind.__name__}: {outcome}")


async def _left(session: Session, seconds: int = 60) -> dict[str, float]:
    """What is pending and held once all is answered; it may take a step until the last that hung up is gone."""
    for _ in range(seconds * 10):
        left = await _read(session, GAUGES)
        if not any(left.values()):
            break
        await asyncio.sleep(0.1)
    return left


async def _read(session: Session, names: Sequence[str]) -> dict[str, float]:
    """Sums over models."""
    async with session.get(f"{BASE}/metrics") as response:
        text = await response.text()
    return {name: sum(float(value) for value in re.findall(rf"^{name}{{.*}} (.*)$", text, re.M)) for name in names}


def _resident(pid: int) -> float:
    """MiB of the process alone."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def _note(progress: Path, number: int, host: Serving, found: Soaked, begun: float) -> None:
    line = {"asked": number, "seconds": round(time.monotonic() - begun), "rss_mib": round(_resident(host.pid), 1)}
    with progress.open("a") as file:
        file.write(json.dumps(line | {"wrong": len(found.wrong)}) + "\n")


def _as_json(found: Soaked) -> dict[str, Any]:
    return {
        "told": dict(sorted(found.told.items())),
        "wrong": found.wrong[:20],
        "rss_mib": [round(one, 1) for one in found.resident],
        "left": found.left,
        "counted": found.counted,
        "seconds": round(found.seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
