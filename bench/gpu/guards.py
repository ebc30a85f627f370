"""Classifiers of Prompt Guard 2's real shapes on one GPU: messages a second, share of the matrix rate, latency.

NOT RUN YET: no GPU was at hand when this was written, so there are no figures of it in bench/README.md. It was tried
with `--device cpu`, which runs the same code on a small scale and whose figures mean nothing.
Generative guards are in bench/gpu/engine.py.

Everything is measured in this process, without HTTP: the rate of a plain bf16 product, then batches of mixed lengths
as the host forms them, then one message at a time, then transformers' eager forward one by one on the same device.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench import guard_shapes
from bench.gpu.timing import matrix_rate, timed
from bench.percentile import percentile
from engine.classifier import Classifier, load_classifier
from engine.classifiers.checkpoint import load_checkpoint

LENGTHS = (16, 32, 64, 128, 256, 512)
SHARES = (30, 25, 20, 15, 7, 3)
BAR_SHARE = 0.5
LAYERS = 12
Ids = list[int]
Row = dict[str, float | str]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when the linear layers reach half of the matrix rate, 1 when not, 2 without a device."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.guards", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", nargs="+", choices=sorted(guard_shapes.SHAPES), default=["22m", "86m"])
    parser.add_argument("--precision", default="bf16", help="fp32 or bf16")
    parser.add_argument("--texts", type=int, default=4096)
    parser.add_argument("--calls", type=int, default=200, help="messages of a latency cell")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("not measured: no CUDA device", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name() if args.device == "cuda" else "a CPU, for trying only"
    rate = matrix_rate(args.device)
    print(f"{name}: {rate / 1e12:.2f} TFLOP/s in a plain bf16 product")
    rows = [_measured(shape, rate, args) for shape in args.shapes]
    for row in rows:
        print(json.dumps(row))
    return 0 if all(float(row["share_of_matrix_rate"]) >= BAR_SHARE for row in rows) else 1


def _measured(shape: str, rate: float, args: argparse.Namespace) -> Row:
    with tempfile.TemporaryDirectory(prefix="gatehouse-gpu-") as directory:
        path = guard_shapes.prompt_guard(Path(directory) / "model", shape)
        classifier = load_classifier(path, args.precision, device=args.device)
        eager = load_checkpoint(path).to(args.device)
    texts = Texts(classifier.info.vocabulary)
    mixed = [texts.mixed() for _ in range(args.texts)]
    _judge_all(classifier, mixed)
    wall = timed(lambda: _judge_all(classifier, mixed), args.device)
    row: Row = {
        "shape": shape,
        "precision": classifier.info.precision,
        "messages_per_s": round(len(mixed) / wall, 1),
        "tokens_per_s": round(sum(map(len, mixed)) / wall),
        "share_of_matrix_rate": round(_linear_flops(shape) * sum(map(len, mixed)) / wall / rate, 3),
    }

    def ask_eager(ids: Ids) -> None:
        with torch.inference_mode():
            eager(input_ids=torch.tensor([ids], device=args.device)).logits.softmax(-1).tolist()

    for length in (64, 512):
        ours = _latency(lambda ids: classifier.probabilities([ids]), texts, length, args)
        theirs = _latency(ask_eager, texts, length, args)
        row |= {f"p50_ms_{length}": ours[0], f"p99_ms_{length}": ours[1]}
        row |= {f"eager_p50_ms_{length}": theirs[0], f"eager_p99_ms_{length}": theirs[1]}
    some = mixed[: max(8, args.texts // 32)]
    one_by_one = timed(lambda: [ask_eager(ids) for ids in some], args.device) / len(some)
    return row | {"times_eager_one_by_one": round(one_by_one * len(mixed) / wall, 1)}


def _judge_all(classifier: Classifier, texts: Sequence[Ids]) -> None:
    """In batches of the classifier's budget, as the host forms them from a full queue."""
    batch: list[Ids] = []
    tokens = 0
    for ids in texts:
        if batch and tokens + len(ids) > classifier.batch_tokens:
            classifier.probabilities(batch)
            batch, tokens = [], 0
        batch.append(ids)
        tokens += len(ids)
    classifier.probabilities(batch)


def _latency(ask: Callable[[Ids], object], texts: Texts, length: int, args: argparse.Namespace) -> tuple[float, float]:
    """p50 and p99 in milliseconds; `ask` ends when the scores are on the CPU."""
    for _ in range(10):
        ask(texts.of_length(length))
    times = []
    for _ in range(args.calls):
        ids, began = texts.of_length(length), time.perf_counter()
        ask(ids)
        times.append((time.perf_counter() - began) * 1000)
    return round(percentile(times, 0.5), 2), round(percentile(times, 0.99), 2)


def _linear_flops(shape: str) -> float:
    """Of the layers' linear parts for one token; attention and the last layer's saving are left out."""
    width, middle = guard_shapes.SHAPES[shape]["hidden_size"], guard_shapes.SHAPES[shape]["intermediate_size"]
    return (LAYERS - 1) * 2 * (4 * width**2 + 2 * width * middle) + 2 * 3 * width**2


class Texts:
    """Random ids in lengths like those of prompts."""

    def __init__(self, vocabulary: int) -> None:
        self._random, self._vocabulary = random.Random(3), vocabulary

    def of_length(self, length: int) -> Ids:
        return [self._random.randrange(5, self._vocabulary) for _ in range(length)]

    def mixed(self) -> Ids:
        return self.of_length(self._random.choices(LENGTHS, SHARES)[0])


if __name__ == "__main__":
    sys.exit(main())
