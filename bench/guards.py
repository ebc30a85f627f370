"""How much faster is `/classify` than the usual ways to ask the same model? Ratios in one run, on one checkpoint.

The checkpoint has Prompt Guard 2's shape and random weights. Three others judge the same texts, one by one, as they
do: transformers' text-classification pipeline, LlamaFirewall's scanner as it ships (it makes itself, and loads its
model, anew for each call), and that scanner kept. Ours is a real model host asked over its socket, tokenizing
included. Rounds are interleaved. Mixed texts have 8 to 400 tokens and all judge them whole; of long texts of 1,500
tokens the others see the first 512 only, and we all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from tokenizers import Tokenizer

from bench import guard_shapes, model_host, report
from bench.gatehouse import ROOT
from bench.percentile import percentile
from bench.processes import raise_priority
from guards.windows import windows

MODEL = "prompt-guard"
BAR_FIREWALL, BAR_PIPELINE = 20.0, 5.0
WINDOW, OVERLAP, MAX_WINDOWS = 510, 64, 64
CONNECTIONS = 16
SHORTEST, LONGEST, LONG = 8, 400, 1500
PEERS = ("pipeline", "llamafirewall-kept", "llamafirewall")
Row = dict[str, float | int | str]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when both bars are met, 1 when one is missed, 2 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.guards", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--texts", type=int, default=32, help="mixed texts of a round")
    parser.add_argument("--long", type=int, default=4, help="long texts of a round")
    parser.add_argument("--shape", choices=sorted(guard_shapes.SHAPES), default="22m")
    parser.add_argument("--precision", default="auto", help="of our host: auto, fp32, bf16 or int8")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="torch threads, for all alike")
    home = Path(os.environ.get("GATEHOUSE_BENCH_HOME", "/tmp/gatehouse-bench"))
    parser.add_argument("--firewall", type=Path, default=home / "llamafirewall", help="see bench/setup_guard_peers.sh")
    parser.add_argument("--nice", type=int, default=0, help="-15: before other work on the machine; needs root")
    parser.add_argument("--out", type=Path, help="one JSON line for each round")
    args = parser.parse_args(argv)
    if args.nice:
        raise_priority(os.getpid(), args.nice)
    with tempfile.TemporaryDirectory(prefix="gatehouse-guards-") as directory:
        try:
            rows = _rounds(Path(directory), args)
        except (model_host.NotReady, subprocess.CalledProcessError) as exc:
            print(f"not measured: {exc}", file=sys.stderr)
            return 2
    if args.out:
        args.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(_table(rows, args))
    return _verdict(rows)


def _rounds(directory: Path, args: argparse.Namespace) -> list[Row]:
    checkpoint = guard_shapes.prompt_guard(directory / "model", args.shape)
    spec = {"name": MODEL, "path": str(checkpoint), "task": "classify", "precision": args.precision}
    rows: list[Row] = []
    with model_host.serving([spec], args.threads, directory / "host.log") as host:
        for number in range(args.rounds):
            mixed, long = _texts(args, number)
            row: Row = {"round": number, "precision": _precision(directory / "host.log")}
            row |= asyncio.run(_ours(host, checkpoint, mixed, long))
            ours = row.pop("scores")
            for peer in PEERS:
                python = args.firewall / "bin" / "python" if peer != "pipeline" else Path(sys.executable)
                if not python.exists():
                    print(f"left out: {peer}: `{python}` is missing; bench/setup_guard_peers.sh makes it")
                    continue
                row |= _peer(peer, python, checkpoint, directory, mixed, args, ours)
            rows.append(row)
            print(f"round {number}: {json.dumps(row)}", flush=True)
    return rows


def _texts(args: argparse.Namespace, number: int) -> tuple[list[str], list[str]]:
    """New ones each round; lengths are even on a logarithmic scale, as lengths of messages are."""
    chosen = random.Random(number)
    vocabulary = guard_shapes.words(20_000)

    def text(tokens: float) -> str:
        return " ".join(chosen.choices(vocabulary, k=max(1, round(tokens) - 2)))

    low, high = math.log(SHORTEST), math.log(LONGEST)
    step = (high - low) / max(1, args.texts - 1)
    mixed = [text(math.exp(low + index * step)) for index in range(args.texts)]
    chosen.shuffle(mixed)
    return mixed, [text(LONG) for _ in range(args.long)]


async def _ours(host: model_host.Serving, checkpoint: Path, mixed: list[str], long: list[str]) -> Row:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    async with host.session(CONNECTIONS) as session:
        await _together(session, tokenizer, mixed)
        wall, scores, tokens = await _together(session, tokenizer, mixed)
        long_wall, _, long_tokens = await _together(session, tokenizer, long)
        alone = []
        for text in mixed:
            began = time.perf_counter()
            await _judged(session, tokenizer, text)
            alone.append((time.perf_counter() - began) * 1000)
    return {
        "scores": scores,
        "ours_per_s": len(mixed) / wall,
        "ours_tokens_per_s": tokens / wall,
        "ours_p50_ms": percentile(alone, 0.5),
        "ours_alone_per_s": 1000 / statistics.mean(alone),
        "ours_long_per_s": len(long) / long_wall,
        "ours_long_tokens_per_s": long_tokens / long_wall,
    }  # type: ignore[dict-item]


async def _together(
    session: aiohttp.ClientSession, tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[float, list[float], int]:
    """All texts at once, over as many connections as there are; seconds, scores and tokens judged."""
    began = time.perf_counter()
    found = await asyncio.gather(*(_judged(session, tokenizer, text) for text in texts))
    return time.perf_counter() - began, [score for score, _ in found], sum(tokens for _, tokens in found)


async def _judged(session: aiohttp.ClientSession, tokenizer: Tokenizer, text: str) -> tuple[float, int]:
    """What the front does: encode once, cut into windows, ask, and take the worst."""
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    rows = [[first, *part, last] for part in windows(ids, WINDOW, OVERLAP, MAX_WINDOWS, MODEL)]
    async with session.post(f"{model_host.BASE}/classify", json={"model": MODEL, "input": rows}) as response:
        body = await response.json()
    if response.status != 200:
        raise model_host.NotReady(f"the host answered with status {response.status}")
    return max(row["probs"][1] for row in body["data"]), sum(map(len, rows))


def _peer(
    peer: str,
    python: Path,
    checkpoint: Path,
    directory: Path,
    mixed: list[str],
    args: argparse.Namespace,
    ours: Sequence[float],
) -> Row:
    path = directory / "texts.json"
    path.write_text(json.dumps(mixed))
    script = ROOT / "bench" / "guard_peer.py"
    command = [str(python), str(script), peer, str(checkpoint), str(path), str(args.threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=170)
    found = json.loads(done.stdout.splitlines()[-1])
    name = peer.replace("-", "_")
    apart = max(abs(a - b) for a, b in zip(found["scores"], ours, strict=True))
    return {
        f"{name}_per_s": len(mixed) / found["seconds"],
        f"{name}_p50_ms": percentile(found["ms"], 0.5),
        f"{name}_score_difference": apart,
    }


def _precision(log: Path) -> str:
    loaded = [json.loads(line) for line in log.read_text().splitlines() if '"model_loaded"' in line]
    return str(loaded[-1]["precision"])


def _table(rows: Sequence[Row], args: argparse.Namespace) -> str:
    for row in rows:
        for peer in (peer.replace("-", "_") for peer in PEERS):
            if f"{peer}_per_s" in row:
                row[f"{peer}_ratio"] = float(row["ours_per_s"]) / float(row[f"{peer}_per_s"])
                row[f"{peer}_alone_ratio"] = float(row["ours_alone_per_s"]) / float(row[f"{peer}_per_s"])
    ours = [report.spread(rows, name, 1) for name in ("ours_per_s", "ours_p50_ms")]
    lines = [
        "",
        f"Prompt Guard 2 {args.shape}, random weights, {args.threads} threads, our precision: {rows[0]['precision']}",
        "",
        "| | texts per second | p50 ms, one at a time | ours is faster, 16 at once | one at a time | scores differ |",
        "|---|---|---|---|---|---|",
        f"| gatehouse `/classify` | {ours[0]} | {ours[1]} | | | |",
    ]
    for peer in PEERS:
        name = peer.replace("-", "_")
        cells = [report.spread(rows, f"{name}_{what}", digits) for what, digits in _CELLS]
        lines.append(f"| {peer}, one by one | {' | '.join(cells)} |")
    long = (
        f"{report.spread(rows, 'ours_long_per_s', 2)} texts, {report.spread(rows, 'ours_long_tokens_per_s', 0)} tokens"
    )
    return "\n".join([*lines, "", f"long texts ({LONG} tokens in windows of 512), per second: {long}", ""])


_CELLS = (("per_s", 2), ("p50_ms", 1), ("ratio", 1), ("alone_ratio", 1), ("score_difference", 5))


def _verdict(rows: Sequence[Row]) -> int:
    measured = {
        "LlamaFirewall as shipped": (report.median(rows, "llamafirewall_ratio"), BAR_FIREWALL),
        "the pipeline": (report.median(rows, "pipeline_ratio"), BAR_PIPELINE),
    }
    for name, (ratio, bar) in measured.items():
        told = "not measured" if not ratio else "met" if ratio >= bar else "MISSED"
        print(f"bar {told}: {ratio:.1f} times {name}, {bar:.0f} expected")
    if not all(ratio for ratio, _ in measured.values()):
        return 2
    return 0 if all(ratio >= bar for ratio, bar in measured.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
