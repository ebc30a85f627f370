"""What one `/classify` of the shipped guards costs: latency at light load, and throughput when many ask at once.

It starts a real model host (`python -m engine.server`) with both starter guards and speaks to its socket as the front
does, with token ids. The text is made up of ordinary words; what a guard says about it is checked for form only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import aiohttp
from tokenizers import Tokenizer

from bench import model_host, report
from bench.gatehouse import ROOT
from bench.model_host import NotReady
from bench.percentile import percentile
from bench.processes import busy_seconds, cpu_seconds, raise_priority, rss_mib

BAR_P50_MS = 15.0
MODELS = ("injection", "hazard")
LENGTHS = (16, 32, 64, 128, 256, 512)
SHARES = (30, 25, 20, 15, 7, 3)
"""Lengths of prompts in tokens and how many of a hundred have them: mostly short, some documents."""
CONNECTIONS = 16
PAUSE_S = 0.02
_WORDS = (
    "the library opens at nine and closes late on friday please bring your card when you borrow a book about the sea"
)
Ids = list[int]
Row = dict[str, float | int | str]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when each guard alone meets the bar, 1 when not, 2 when the host did not start."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard_latency", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=150, help="calls of a latency cell")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a throughput cell")
    parser.add_argument("--threads", type=int, default=2, help="torch threads of the host, as in the quickstart")
    parser.add_argument("--models", type=Path, default=ROOT / "guards" / "starter")
    parser.add_argument("--out", type=Path, help="one JSON line for each round")
    parser.add_argument("--nice", type=int, default=0, help="-15: before other work on the machine; needs root")
    args = parser.parse_args(argv)
    if args.nice:
        raise_priority(os.getpid(), args.nice)
    specs = [{"name": name, "path": str(args.models / name), "task": "classify"} for name in MODELS]
    try:
        with model_host.serving(specs, args.threads) as host:
            rows = asyncio.run(_rounds(host, args))
    except NotReady as exc:
        print(f"not measured: {exc}", file=sys.stderr)
        return 2
    if args.out:
        args.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(_tables(rows))
    return _verdict(rows)


async def _rounds(host: model_host.Serving, args: argparse.Namespace) -> list[Row]:
    async with host.session(CONNECTIONS) as session:
        prompts = Prompts(args.models / MODELS[0] / "tokenizer.json")
        for name in MODELS:
            await _latency([partial(_classify, session, name, prompts.of_length(64))], 20)
        rows = []
        for number in range(args.rounds):
            rows.append({"round": number} | await _round(session, prompts, host.pid, args))
            print(f"round {number}: {json.dumps(rows[-1])}", flush=True)
        return rows


async def _round(session: aiohttp.ClientSession, prompts: Prompts, pid: int, args: argparse.Namespace) -> Row:
    def call(name: str, length: int) -> Callable[[], Awaitable[None]]:
        return lambda: _classify(session, name, prompts.of_length(length))

    row: Row = {}
    for name in MODELS:
        for length in (64, 512):
            row |= _named(f"{name}_{length}", await _latency([call(name, length)], args.calls if length == 64 else 30))
    row |= _named("both_64", await _latency([call(name, 64) for name in MODELS], args.calls))
    row |= await _throughput(session, prompts, pid, args.seconds)
    return row


def _named(cell: str, values: Row) -> Row:
    return {f"{cell}_{name}": value for name, value in values.items()}


async def _latency(calls: Sequence[Callable[[], Awaitable[None]]], count: int) -> Row:
    """The calls at once, then a pause, `count` times; the time until the last of them is there."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await asyncio.gather(*(call() for call in calls))
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_S)
    return {"p50_ms": round(percentile(times, 0.5), 2), "p95_ms": round(percentile(times, 0.95), 2)}


async def _throughput(session: aiohttp.ClientSession, prompts: Prompts, pid: int, seconds: float) -> Row:
    """Prompts of mixed lengths over 16 connections, half of them to each model."""
    times: list[float] = []
    tokens = 0
    until = time.perf_counter() + seconds

    async def ask(connection: int) -> None:
        nonlocal tokens
        while time.perf_counter() < until:
            ids, began = prompts.mixed(), time.perf_counter()
            await _classify(session, MODELS[connection % len(MODELS)], ids)
            times.append((time.perf_counter() - began) * 1000)
            tokens += len(ids)

    busy, cpu, began = busy_seconds(), cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(ask(connection) for connection in range(CONNECTIONS)))
    wall, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
    return {
        "mixed_per_s": round(len(times) / wall, 1),
        "mixed_tokens_per_s": round(tokens / wall),
        "mixed_p50_ms": round(percentile(times, 0.5), 1),
        "mixed_p95_ms": round(percentile(times, 0.95), 1),
        "mixed_cpu_ms": round(1000 * cpu / len(times), 2),
        "host_cores": round(cpu / wall, 2),
        "other_cores": round((busy_seconds() - busy - cpu) / wall, 2),
        "rss_mib": round(rss_mib(pid)),
    }


async def _classify(session: aiohttp.ClientSession, model: str, ids: Ids) -> None:
    async with session.post(f"{model_host.BASE}/classify", json={"model": model, "input": ids}) as response:
        body = await response.json()
    if response.status != 200 or not all(0 <= share <= 1 for share in body["data"][0]["probs"]):
        raise NotReady(f"`{model}` answered with status {response.status}")


class Prompts:
    """Token ids of ordinary words in any length, different each time so that nothing is answered from memory."""

    def __init__(self, tokenizer: Path) -> None:
        loaded = Tokenizer.from_file(str(tokenizer))
        loaded.no_padding()
        loaded.no_truncation()
        self._first, *words, self._last = loaded.encode(_WORDS).ids
        self._words, self._random = words, random.Random(7)

    def of_length(self, length: int) -> Ids:
        return [self._first, *self._random.choices(self._words, k=length - 2), self._last]

    def mixed(self) -> Ids:
        return self.of_length(self._random.choices(LENGTHS, SHARES)[0])


def _tables(rows: Sequence[Row]) -> str:
    lines = ["", "| one call at a time | p50 ms | p95 ms |", "|---|---|---|"]
    cells = {f"{name}, {length} tokens": f"{name}_{length}" for name in MODELS for length in (64, 512)}
    for title, cell in (cells | {"both at once, 64 tokens": "both_64"}).items():
        lines.append(
            f"| {title} | {report.spread(rows, f'{cell}_p50_ms', 1)} | {report.spread(rows, f'{cell}_p95_ms', 1)} |"
        )
    lines += ["", f"| {CONNECTIONS} connections, mixed lengths, both models | |", "|---|---|"]
    named = {
        "calls per second": "mixed_per_s", "tokens per second": "mixed_tokens_per_s", "p50 ms": "mixed_p50_ms",
        "p95 ms": "mixed_p95_ms", "CPU ms per call": "mixed_cpu_ms", "cores used by the host": "host_cores",
        "cores used by others": "other_cores", "RSS MiB": "rss_mib",
    }  # fmt: skip
    lines += [f"| {title} | {report.spread(rows, name, 1)} |" for title, name in named.items()]
    return "\n".join(lines) + "\n"


def _verdict(rows: Sequence[Row]) -> int:
    worst = max(report.median(rows, f"{name}_64_p50_ms") for name in MODELS)
    met = worst < BAR_P50_MS
    print(f"bar {'met' if met else 'MISSED'}: p50 of a 64-token prompt is {worst:.1f} ms, below {BAR_P50_MS} expected")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
