"""Each kernel alone against what its bytes take at the measured bandwidth, in Scout's shapes.

NOT RUN YET: no GPU was at hand when this was written. `--device cpu` runs the same code on plain torch, small; its
figures mean nothing. What the kernels compile to is known without a GPU: bench/gpu/compiled.py.

A call reads the packed weights of the experts that got a row, once, the rows, and the result; that is its floor. With
many rows the floor is the products at the measured matrix rate. Calls go round so many weights that no cache holds
them, and are recorded in a graph, so that nothing but the kernels is timed. `--sweep` tries other divisions of the
work, the fastest five first: from those follow `TILES` of triton_product.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bench.gpu.timing import bandwidth, matrix_rate, timed
from engine.gpu.packed import Packed, pack
from engine.gpu.paged import Scales, decode_attention
from engine.gpu.product import product

EXPERTS = 16
TURNS = 32
"""Calls of a measurement."""
DIVISIONS = (
    (8, 64, 2, 3),
    (8, 64, 2, 4),
    (8, 64, 2, 6),
    (8, 64, 4, 4),
    (8, 128, 4, 4),
    (16, 64, 2, 4),
    (16, 128, 2, 4),
    (16, 128, 4, 4),
    (16, 256, 4, 4),
)
"""Rows, outputs, warps and stages."""
LARGE = ((64, 128, 4, 3), (64, 256, 8, 3), (128, 128, 4, 2), (128, 128, 8, 3), (128, 256, 8, 3), (128, 256, 8, 2))
"""The same for many rows, whose inputs are not divided."""
MANY = 128
BARS = {1: 2.0, 8: 2.0, 64: 1.5}
"""Times the floor, by rows."""
Row = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A projection, and how many of them."""

    name: str
    inputs: int
    outputs: int
    experts: int

    def packed(self, precision: str, device: torch.device) -> Packed:
        """All experts of one weight: what is in them makes no difference."""
        weight = torch.randn(self.outputs, self.inputs, device=device) * 0.02
        return pack([weight] * max(self.experts, 8), precision, device)


SHAPES = (
    Shape("experts gate and up", 5120, 16384, EXPERTS),
    Shape("experts down", 8192, 5120, EXPERTS),
    Shape("shared gate and up", 5120, 16384, 0),
    Shape("shared down", 8192, 5120, 0),
    Shape("queries, keys, values", 5120, 7168, 0),
)
SMALL = (Shape("small experts", 256, 512, 4), Shape("small", 256, 512, 0))


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when all of few rows meet their bars, 1 when not, 2 without a device."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.kernels", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", nargs="+", default=["int4", "fp8", "int8", "bf16"])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8, 64, 512, 4096])
    parser.add_argument("--sweep", action="store_true", help="other divisions of the work; needs a GPU")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("not measured: no CUDA device", file=sys.stderr)
        return 2
    device = torch.device(args.device)
    speed, rate = bandwidth(args.device), matrix_rate(args.device)
    print(f"{speed / 1e12:.2f} TB/s, {rate / 1e12:.0f} TFLOP/s in a plain bf16 product")
    met = True
    with torch.inference_mode():
        for shape in SHAPES if args.device == "cuda" else SMALL:
            for precision in args.precisions:
                packed = shape.packed(precision, device)
                if args.sweep and device.type == "cuda":
                    print("\n".join(json.dumps(row) for n in args.rows for row in _swept(shape, packed, n)[:5]))
                    continue
                for row in _products(shape, packed, args.rows, speed, rate):
                    print(json.dumps(row))
                    met &= float(row["times_floor"]) <= BARS.get(int(row["rows"]), float("inf"))
        for row in _attention(device, speed):
            print(json.dumps(row))
    if args.device != "cuda":
        return 2
    return 0 if met else 1


def _products(shape: Shape, packed: Packed, rows: Sequence[int], speed: float, rate: float) -> Iterator[Row]:
    device = packed.words.device
    each = sum(t[0].numel() * t.element_size() for t in (packed.words, packed.scale_epoh) if t.numel())
    for n in rows:
        given = _given(shape, packed, n)
        used = sum(1 if ends is None else int((ends.diff(prepend=ends.new_zeros(1)) > 0).sum()) for _, ends in given)
        x_ni = torch.randn(n, shape.inputs, device=device).bfloat16()
        seconds = _recorded([partial(product, x_ni, *one) for one in given], device) / TURNS
        floor = (used / TURNS * each + 2 * n * (shape.inputs + shape.outputs)) / speed
        products = 2 * n * shape.inputs * shape.outputs / rate
        yield {
            "shape": shape.name,
            "precision": packed.precision,
            "rows": n,
            "experts_used": round(used / TURNS, 1),
            "microseconds": round(seconds * 1e6, 1),
            "times_floor": round(seconds / max(floor, products), 2),
            "share_of_bandwidth": round(floor / seconds, 2),
            "share_of_matrix_rate": round(products / seconds, 2),
        }


def _swept(shape: Shape, packed: Packed, n: int) -> list[Row]:
    """The fastest first."""
    from triton.runtime.errors import OutOfResources

    from engine.gpu.triton_product import Tile
    from engine.gpu.triton_product import product as by_kernel

    device, given, rows = packed.words.device, _given(shape, packed, n), []
    x_ni = torch.randn(n, shape.inputs, device=device).bfloat16()
    for division in DIVISIONS if n < MANY else LARGE:
        for splits in (1, 2, 4, 8) if n < MANY else (1,):
            calls = [partial(by_kernel, x_ni, *one, Tile(*division, programs=1), splits) for one in given]
            try:
                seconds = _recorded(calls, device) / TURNS
            except OutOfResources:  # of shared memory
                continue
            row: Row = {"shape": shape.name, "precision": packed.precision, "rows": n, "tile": str(division)}
            rows.append({**row, "splits": splits, "microseconds": round(seconds * 1e6, 1)})
    return sorted(rows, key=lambda row: float(row["microseconds"]))


def _given(shape: Shape, packed: Packed, n: int) -> list[tuple[Packed, Tensor | None]]:
    """Weights of each turn, and where the rows end: at random, as under a router without preferences."""
    count, device = packed.words.shape[0], packed.words.device
    if not shape.experts:
        return [(packed.part(turn % count, turn % count + 1), None) for turn in range(TURNS)]
    counts = [torch.randint(count, (n,)).bincount(minlength=count) for _ in range(TURNS)]
    return [(packed, each.cumsum(0).int().to(device)) for each in counts]


def _attention(device: torch.device, speed: float) -> Iterator[Row]:
    """Eight key-value heads of 128 for five heads each."""
    is_gpu = device.type == "cuda"
    for kept in ("bf16", "int8", "fp8"):
        for texts, length in ((1, 1024), (8, 8192), (64, 2048), (1, 131072)) if is_gpu else ((2, 64),):
            calls = [_attend(device, texts, length, kept, turn) for turn in range(TURNS if is_gpu else 2)]
            seconds = _recorded(calls, device) / len(calls)
            floor = texts * length * 8 * 2 * (256 if kept == "bf16" else 130) / speed
            yield {
                "shape": f"{texts} texts of {length}",
                "kept": kept,
                "microseconds": round(seconds * 1e6, 1),
                "times_floor": round(seconds / floor, 2),
            }


def _attend(device: torch.device, texts: int, length: int, kept: str, turn: int) -> Callable[[], object]:
    torch.manual_seed(turn)
    blocks = texts * length // 16
    pool_kpd = torch.randn(8, blocks * 16, 128, device=device, dtype=torch.bfloat16)
    scales: Scales | None = None
    if kept != "bf16":
        pool_kpd = (
            pool_kpd.to(torch.float8_e4m3fn) if kept == "fp8" else (pool_kpd * 40).clamp(-127, 127).to(torch.int8)
        )
        scale_kp = torch.rand(8, blocks * 16, device=device).bfloat16()
        scales = (scale_kp, scale_kp.clone())
    places_bl = (torch.randperm(blocks, device=device).view(texts, -1) * 16).int()
    lengths_b = torch.full((texts,), length, dtype=torch.int32, device=device)
    q_bhd, values_kpd = torch.randn(texts, 40, 128, device=device, dtype=torch.bfloat16), pool_kpd.clone()
    return lambda: decode_attention(q_bhd, pool_kpd, values_kpd, places_bl, lengths_b, 16, scales)


def _recorded(calls: Sequence[Callable[[], object]], device: torch.device) -> float:
    """Seconds of all of them, one after the other; the best of five."""
    for call in calls:
        call()
    if device.type != "cuda":
        return timed(lambda: [call() for call in calls], device.type)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return min(timed(graph.replay, "cuda") for _ in range(5))


if __name__ == "__main__":
    sys.exit(main())
