"""What one judged message of a Llama Guard costs the model host, and what a judged stream costs, beside `generate`.

A random Llama stands in for the guard, prompts have the lengths of Llama Guard 3's template: 140 constant tokens of
policy, the conversation, 56 constant tokens of instruction. The host is asked as a guard asks (the prompt, and the
prompt and a line break, one token each, log-probabilities of the verdict tokens); transformers generates five tokens
for one prompt after another, with the same checkpoint and as many threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bench.guard_shapes import llama
from bench.model_host import BASE, NotReady, Serving, serving
from bench.processes import cpu_seconds

BAR = 8.0
POLICY, SUFFIX = 140, 56
LENGTHS = (4, 8, 16, 32, 64)
ANSWER, WINDOW = 1000, 50
BREAK, VERDICTS = 271, (300, 301)
"""Token ids of the line break and of the two verdicts: any will do."""
CONNECTIONS = 8
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}
PEER = Path(__file__).with_name("generate_peer.py")
Ids = list[int]
Row = dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when a message costs an eighth of `generate` and a stream what it may, else 1; 2: not measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.prefix", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="torch threads of either side")
    parser.add_argument("--precision", choices=tuple(PRECISIONS), default="fp32", help="of both sides")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="gatehouse-prefix-") as directory:
        checkpoint = llama(Path(directory) / "model")
        try:
            rows = [_round(checkpoint, args, number) for number in range(args.rounds)]
        except NotReady as exc:
            print(f"not measured: {exc}", file=sys.stderr)
            return 2
    print(_table(rows))
    fast = min(row["times faster, together, CPU ms"] for row in rows) >= BAR
    cheap = all(row["tokens computed a stream"] <= row["tokens allowed a stream"] for row in rows)
    return 0 if fast and cheap else 1


def _round(checkpoint: Path, args: argparse.Namespace, number: int) -> Row:
    """Both sides on new messages; the host first, and never at the same time."""
    draw = random.Random(number)
    policy, suffix = _ids(draw, POLICY), _ids(draw, SUFFIX)
    messages = [[*policy, *_ids(draw, draw.choice(LENGTHS)), *suffix] for _ in range(args.messages)]
    answer = _ids(draw, ANSWER)
    windows = [[*policy, *answer[:end], *suffix] for end in range(WINDOW, ANSWER + 1, WINDOW)]
    spec = {"name": "guard", "path": str(checkpoint), "task": "generate", "role": "guard", "precision": args.precision}
    with serving([spec], args.threads) as host:
        row, scores = asyncio.run(_ours(host, messages, windows))
    work = Path(checkpoint.parent) / "work.json"
    work.write_text(json.dumps({"messages": messages, "windows": windows, "ids": VERDICTS}))
    command = [sys.executable, str(PEER), str(checkpoint), str(work), str(args.threads), PRECISIONS[args.precision]]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    pairs = [pair for rows in zip(scores, theirs["scores"], strict=True) for pair in zip(*rows, strict=True)]
    row["largest difference of a log-probability"] = max(abs(one - other) for one, other in pairs)
    for at, unit in enumerate(("ms", "CPU ms")):
        row[f"generate, {unit} a message"] = 1000 * theirs["messages"][at] / len(messages)
        row[f"generate, {unit} a stream"] = 1000 * theirs["windows"][at]
        for kind, whole in (("one by one", "message"), ("together", "message"), ("stream", "stream")):
            row[f"times faster, {kind}, {unit}"] = row[f"generate, {unit} a {whole}"] / row[f"{kind}, {unit} a {whole}"]
    return row


async def _ours(host: Serving, messages: list[Ids], windows: list[Ids]) -> tuple[Row, list[list[float]]]:
    row: Row = {}
    async with host.session(CONNECTIONS) as session:
        for salt in ("one by one", "together"):
            await _judged(session, [*messages[0][:POLICY], *messages[0][-SUFFIX:]], salt)
        with _measured(row, host, "one by one", "message", len(messages)):
            alone = [await _judged(session, ids, "one by one") for ids in messages]
        with _measured(row, host, "together", "message", len(messages)):
            await asyncio.gather(*(_judged(session, ids, "together") for ids in messages))
        await _judged(session, [*windows[0][:POLICY], *windows[0][-SUFFIX:]], "stream")
        with _measured(row, host, "stream", "stream", 1):
            stream = [await _judged(session, ids, "stream") for ids in windows]
    row["tokens of a message"] = sum(map(len, messages)) / len(messages)
    row["tokens computed a message, one by one"] = sum(told for told, _ in alone) / len(messages)
    row["tokens computed a stream"] = sum(told for told, _ in stream)
    row["tokens allowed a stream"] = ANSWER + len(windows) * (SUFFIX + 16)
    row["tokens a stream, from scratch"] = sum(map(len, windows))
    return row, [scores for _, scores in alone]


@contextmanager
def _measured(row: Row, host: Serving, kind: str, whole: str, count: int) -> Iterator[None]:
    """Time and the host's CPU time: on a machine that does other work, too, the second is the steadier one."""
    began, cpu = time.perf_counter(), cpu_seconds(host.pid)
    yield
    row[f"{kind}, ms a {whole}"] = 1000 * (time.perf_counter() - began) / count
    row[f"{kind}, CPU ms a {whole}"] = 1000 * (cpu_seconds(host.pid) - cpu) / count


async def _judged(session: aiohttp.ClientSession, ids: Ids, salt: str) -> tuple[int, list[float]]:
    """One call of a guard; tokens computed, and the verdict tokens' log-probabilities after the prompt."""
    body: dict[str, Any] = {"model": "guard", "prompt": [ids, [*ids, BREAK]], "max_tokens": 1, "temperature": 0}
    body |= {"logprobs": 20, "return_tokens_as_token_ids": True, "logprob_token_ids": VERDICTS, "cache_salt": salt}
    async with session.post(f"{BASE}/v1/completions", json=body) as response:
        if response.status != 200:
            raise NotReady(f"the host answered {response.status}")
        answer = await response.json()
    (top,) = answer["choices"][0]["logprobs"]["top_logprobs"]
    return answer["usage"]["computed_tokens"], [top[f"token_id:{token}"] for token in VERDICTS]


def _ids(draw: random.Random, count: int) -> Ids:
    return [draw.randrange(1000, 8000) for _ in range(count)]


def _table(rows: list[Row]) -> str:
    """Every number as the mean of the rounds, with the lowest and the highest."""
    lines = ["| | |", "|---|---|"]
    for name in rows[0]:
        found = [row[name] for row in rows]
        shown = f"{sum(found) / len(found):.4g} ({min(found):.4g}..{max(found):.4g})"
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
