"""The engine on one GPU: steps of Scout and Maverick beside what the device's bandwidth and matrix rate allow.

NOT RUN ON A GPU YET: none was at hand when this was written, so there are no figures of it in bench/README.md. It was
tried with `--device cpu --shape tiny`, which runs the same code on a small scale and whose figures mean nothing.

One command: `python -m bench.gpu.engine`. Weights are random and made on the device. First come the device's own rates,
then an eighth of Scout (6 layers), then all of it where time and memory last, then four layers of Maverick, each in
int4 and float8: next tokens for 1, 8 and 64 texts, with and without recorded graphs, a prompt of 4,096 tokens, the time
to the first token of long prompts, guard calls in the middle of chats, and the most memory there was. Tokens are fed
at random and experts counted, because a random model that hears itself ends up at few of them.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.gpu.floors import prompt_flops, step_bytes
from bench.gpu.mixed import Ear, Load, Mixed, answer
from bench.gpu.random_model import RandomModel, pieces_of
from bench.gpu.timing import bandwidth, matrix_rate
from engine.config import parse_config
from engine.errors import MemoryExhausted
from engine.gpu.runner import GPU_STEP_TOKENS
from engine.published import PUBLISHED
from engine.runner import Run
from engine.shape import LayerConfig, ModelConfig
from engine.size import parameters, weight_bytes

BARS = {1: 2.0, 64: 1.5}
"""How many times the floor a step may take, by batch."""
BAR_PREFILL = 0.5
"""Of the matrix rate."""
PRECISIONS = ("int4", "fp8")
LONGEST = 262_144
CHATS = Load(chats=16, prompt=256, answer=128, seconds=8.0)
GB = 10**9
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A model, and how much of everything is asked of it."""

    name: str
    config: ModelConfig
    kv_bytes: int
    guard: ModelConfig | None = None
    """What judges in the middle of chats; None: that is not measured."""
    context: int = 512
    prompt: int = 4096
    first_tokens: tuple[int, ...] = ()
    """Lengths of prompts whose first token is waited for."""
    load: Load = CHATS
    batches: tuple[int, ...] = (1, 8, 64)
    steps: int = 30


def shapes() -> dict[str, Shape]:
    scout, maverick = (published(name) for name in ("scout", "maverick"))
    long = (1024, 32_768, 131_072)
    return {
        "scout-eighth": Shape("scout-eighth", replace(scout, layers=scout.layers[:6]), 4 * GB),
        "scout": Shape("scout", scout, 12 * GB, published("llama-guard-3-8b"), first_tokens=long),
        "maverick-slice": Shape("maverick-slice", replace(maverick, layers=maverick.layers[:4]), 4 * GB),
        "tiny": tiny(scout),
    }


def published(name: str) -> ModelConfig:
    config = parse_config(PUBLISHED[name])
    return replace(config, max_positions=min(LONGEST, config.max_positions), vision=None)


def tiny(scout: ModelConfig) -> Shape:
    """Of Scout's kind, for a processor."""
    small = {"hidden": 128, "heads": 4, "kv_heads": 2, "head_dim": 32, "vocabulary": 512, "max_positions": 1024}
    layers = [replace(layer, chunk=layer.chunk and 64) for layer in scout.layers[:4]]
    config = replace(scout, **small, expert_width=128, mlp_width=128, experts=4, layers=tuple(layers))
    guard = replace(config, experts=0, layers=(LayerConfig(uses_rope=True, chunk=None, is_moe=False),) * 2)
    return Shape("tiny", config, 2**24, guard, 32, 128, (64, 256), Load(2, 16, 8, 0.1), (1, 8), 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when every bar is met, 1 when one is missed, 2 where there is no GPU, or no Scout was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.engine", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda", help="cpu: for trying, with --shape tiny")
    parser.add_argument("--shape", nargs="+", choices=sorted(shapes()), metavar="SHAPE", help="default: all but tiny")
    parser.add_argument("--precision", nargs="+", choices=("bf16", "int8", *PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=500.0, help="after which nothing more is begun")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("not measured: no CUDA device", file=sys.stderr)
        return 2
    bench = Bench(args.device, time.perf_counter() + args.seconds)
    names = args.shape or ["scout-eighth", "scout", "maverick-slice"]
    rows = [bench.row(shapes()[name], precision) for name in names for precision in args.precision]
    if args.device != "cuda":
        print("not judged: a CPU, for trying only")
        return 2
    return _judged([row for row in rows if "decode" in row and "prefill" in row])


class Bench:
    """One device, its rates, and the time that is left."""

    def __init__(self, device: str, until: float) -> None:
        self.device, self._until = torch.device(device), until
        self._random = random.Random(11)
        self._seconds_for_gb = 0.0
        self.bandwidth, self.matrix_rate = bandwidth(device), matrix_rate(device)
        name = torch.cuda.get_device_name() if device == "cuda" else "a CPU, for trying only"
        print(
            f"{name}: {self.bandwidth / 1e12:.3f} TB/s, {self.matrix_rate / 1e12:.2f} TFLOP/s in a plain bf16 product"
        )

    def row(self, shape: Shape, precision: str) -> Row:
        """Everything of one model; what did not fit says so."""
        row: Row = {"shape": shape.name, "layers": len(shape.config.layers), "precision": precision}
        if why := self._hindrance(shape, precision):
            row["not_measured"] = why
        else:
            try:
                self._measure(shape, precision, row)
            except (MemoryExhausted, torch.OutOfMemoryError) as exc:
                row["not_measured"] = f"out of memory: {type(exc).__name__}"
            # Time on a GPU is dear: what fails here says why, and the next model has its turn.
            except Exception as exc:
                traceback.print_exc()
                row["not_measured"] = f"failed: {type(exc).__name__}"
        print(json.dumps(row), flush=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return row

    def _hindrance(self, shape: Shape, precision: str) -> str:
        """Why not to begin."""
        needed = _weights(shape.config, precision) + shape.kv_bytes
        takes = self._seconds_for_gb * needed / GB
        if self._left() < 20 + takes:
            return f"out of time: {self._left():.0f} s are left, loading would take {takes:.0f} s"
        free = torch.cuda.mem_get_info()[0] if self.device.type == "cuda" else needed * 4
        return (
            f"{needed / GB:.0f} GB of {free / GB:.0f} GB"
            if needed + 4 * GB * (self.device.type == "cuda") > free
            else ""
        )

    def _left(self) -> float:
        return self._until - time.perf_counter()

    def _measure(self, shape: Shape, precision: str, row: Row) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        model = RandomModel(shape.config, precision, self.device, shape.kv_bytes)
        self._seconds_for_gb = max(self._seconds_for_gb, model.made_s * GB / _weights(shape.config, precision))
        ready = time.perf_counter() - began
        row |= {
            "weights_s": round(model.made_s, 1),
            "ready_s": round(ready, 1),
            "recorded": list(model.runner.recorded),
            "not_recorded": model.runner.why_not[:300],
        }
        row["decode"] = {batch: self._decode(model, shape, batch) for batch in shape.batches}
        row["prefill"] = self._prefill(model, shape)
        for length in shape.first_tokens[:1]:
            self._first_token(model, length)  # kernels for its shapes are compiled here
        for length in shape.first_tokens:
            row[f"first_token_s_{length}"] = round(self._first_token(model, length), 3) if self._left() > 30 else None
        if shape.guard is not None and self._left() > 40 + 3 * shape.load.seconds:
            guard = RandomModel(shape.guard, precision, self.device, min(shape.kv_bytes, 2 * GB))
            row["mixed"] = Mixed(model, guard, shape.load).measured()
        if self.device.type == "cuda":
            row["peak_gb"] = round(torch.cuda.max_memory_allocated() / GB, 2)

    def _decode(self, model: RandomModel, shape: Shape, batch: int) -> Row:
        room = shape.context + 2 * shape.steps + 8
        slots = [model.cache.reserve(room, keeps_all=True) for _ in range(batch)]
        for slot in slots:
            for piece in pieces_of(self._ids(model, shape.context)):
                model.runner.step([Run(slot, piece)])

        def runs() -> list[Run]:
            return [Run(slot, self._ids(model, 1), [0]) for slot in slots]

        used = model.experts_used(runs())
        with_graph = _median(lambda: model.runner.step(runs()).argmax(-1).tolist(), shape.steps)
        plain = model.plain()
        without = _median(lambda: plain.step(runs()).argmax(-1).tolist(), max(2, shape.steps // 6))
        for slot in slots:
            model.cache.release(slot)
        floor = step_bytes(model.config, model.precision, batch, shape.context, used) / self.bandwidth
        return {
            "ms": round(with_graph * 1e3, 3),
            "tokens_per_s": round(batch / with_graph, 1),
            "floor_ms": round(floor * 1e3, 3),
            "times_floor": round(with_graph / floor, 2),
            "experts_used": round(used, 2),
            "without_graph_ms": round(without * 1e3, 3),
        }

    def _prefill(self, model: RandomModel, shape: Shape) -> Row:
        def whole() -> None:
            slot, ids = model.cache.reserve(shape.prompt, keeps_all=True), self._ids(model, shape.prompt)
            *first, last = pieces_of(ids)
            for piece in first:
                model.runner.step([Run(slot, piece)])
            model.runner.step([Run(slot, last, [len(last) - 1])]).argmax(-1).tolist()
            model.cache.release(slot)

        took = _median(whole, 3)
        share = prompt_flops(model.config, shape.prompt) / took / self.matrix_rate
        rate = {"tokens_per_s": round(shape.prompt / took, 1), "share_of_matrix_rate": round(share, 3)}
        return {"tokens": shape.prompt, "in_pieces_of": GPU_STEP_TOKENS, "s": round(took, 4), **rate}

    def _first_token(self, model: RandomModel, length: int) -> float:
        """Through the scheduler, with nothing else to do."""
        ear = Ear()
        model.lane.add([answer(self._ids(model, length), 1, ear)])
        began = time.perf_counter()
        while (work := model.lane.next(0.0)) is not None:
            work.run()
        return ear.first_at - began

    def _ids(self, model: RandomModel, count: int) -> list[int]:
        return [self._random.randrange(9, model.config.vocabulary) for _ in range(count)]


def _weights(config: ModelConfig, precision: str) -> float:
    return sum(weight_bytes(parameters(config, {}), precision).values())


def _median(call: Callable[[], object], times: int) -> float:
    """Seconds; each ends when its tokens are here. The first ones are for warming up."""
    for _ in range(min(3, times)):
        call()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def _judged(rows: Sequence[Row]) -> int:
    is_met = True
    for row in rows:
        found = [
            (f"decode {batch}", row["decode"][batch]["times_floor"], "at most", bar) for batch, bar in BARS.items()
        ]
        found.append(("prefill", row["prefill"]["share_of_matrix_rate"], "at least", BAR_PREFILL))
        for what, value, kind, bar in found:
            is_ok = value <= bar if kind == "at most" else value >= bar
            is_met &= is_ok
            print(f"{row['shape']} {row['precision']} {what}: {value}, {kind} {bar}: {'met' if is_ok else 'missed'}")
    if not set(PRECISIONS) <= {row["precision"] for row in rows if row["shape"].startswith("scout")}:
        print("not measured: Scout's shape in both precisions", file=sys.stderr)
        return 2
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
