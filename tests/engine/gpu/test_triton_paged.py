"""The kernels of paged attention against plain torch; see kernels.py for how they run."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from engine.gpu.paged import Scales, reference
from tests.engine.gpu.kernels import DEVICE, DTYPE, close, interpreted, kernels, on_gpu

triton_paged = kernels("triton_paged")


@dataclass(frozen=True, slots=True)
class Case:
    """`kept` is what keys and values are kept as."""

    heads: int
    kv_heads: int
    d: int
    lengths: tuple[int, ...]
    kept: str = "auto"
    block: int = 16
    firsts: tuple[int, ...] | None = None

    def arguments(self) -> tuple[object, ...]:
        """What nobody wrote is no number, where the type has such."""
        torch.manual_seed(sum(self.lengths))
        columns = max(1, *(-(-length // self.block) for length in self.lengths)) + 1
        count = len(self.lengths)
        positions = (count * columns + 1) * self.block
        places_bl = torch.randperm(count * columns).view(count, columns) * self.block
        pools = [self._pool(positions) for _ in range(2)]
        if self.kept == "auto":
            places_bs = (places_bl[:, :, None] + torch.arange(self.block)).flatten(1)
            used = torch.cat([row[:length] for row, length in zip(places_bs, self.lengths, strict=True)])
            unused = torch.ones(positions, dtype=torch.bool).index_fill_(0, used, False)
            for pool in pools:
                pool[:, unused] = float("nan")
        q_bhd = torch.randn(count, self.heads, self.d, dtype=DTYPE, device=DEVICE)
        tables = (places_bl.int().to(DEVICE), torch.tensor(self.lengths, dtype=torch.int32, device=DEVICE))
        firsts = None if self.firsts is None else torch.tensor(self.firsts, dtype=torch.int32, device=DEVICE)
        return q_bhd, *(pool.to(DEVICE) for pool in pools), *tables, self.block, self._scales(positions), firsts

    def _pool(self, positions: int) -> Tensor:
        shape = (self.kv_heads, positions, self.d)
        if self.kept == "int8":
            return torch.randint(-127, 128, shape, dtype=torch.int8)
        return (torch.randn(shape) * 20).to(torch.float8_e4m3fn) if self.kept == "fp8" else torch.randn(shape).to(DTYPE)

    def _scales(self, positions: int) -> Scales | None:
        if self.kept == "auto":
            return None
        keys, values = (torch.rand(2, self.kv_heads, positions) * 0.05).bfloat16().to(DEVICE)
        return keys, values


def check(case: Case) -> None:
    arguments = case.arguments()
    found, exact = triton_paged.decode_attention(*arguments), reference(*arguments)
    assert found.shape == exact.shape
    assert close(found, exact)


CASES = [
    Case(1, 1, 16, (1,)),
    Case(10, 2, 128, (1, 200, 77)),
    Case(5, 1, 64, (0, 300), "int8"),
    Case(8, 8, 80, (70, 65), "fp8"),
    Case(4, 2, 24, (130, 64), firsts=(100, 63)),
    Case(4, 2, 8, (130, 0), block=32, firsts=(3, 0)),
]


@interpreted
@pytest.mark.parametrize("case", CASES)
def test_a_few_sequences(case: Case) -> None:
    check(case)


@interpreted
@pytest.mark.parametrize("seed", range(8))
def test_some_sequences(seed: int) -> None:
    draw = random.Random(seed)
    kv_heads = draw.choice([1, 2, 3])
    lengths = tuple(draw.choice([0, 1, 15, 16, 17, 63, 64, 65, 129, 300, 700]) for _ in range(draw.randint(1, 4)))
    firsts = draw.choice([None, tuple(draw.randint(0, max(0, length - 1)) for length in lengths)])
    kept, heads = draw.choice(["auto", "int8", "fp8"]), kv_heads * draw.choice([1, 2, 5, 8])
    check(Case(heads, kv_heads, draw.choice([8, 24, 64, 128]), lengths, kept, draw.choice([8, 16, 32]), firsts))


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("kept", ["auto", "int8", "fp8"])
@pytest.mark.parametrize("lengths", [(1,), (40_000,), (5, 3000, 0, 8192), tuple(range(1, 65))])
def test_on_a_gpu(kept: str, lengths: tuple[int, ...]) -> None:
    """Its twins are above."""
    check(Case(40, 8, 128, lengths, kept))


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("case", CASES)
def test_small_shapes_on_a_gpu(case: Case) -> None:
    check(case)


@pytest.mark.gpu
@on_gpu
def test_a_recorded_call_follows_its_data() -> None:
    q_bhd, keys, values, places_bl, lengths_b, block, scales, _ = Case(40, 8, 128, (3000, 17)).arguments()
    triton_paged.decode_attention(q_bhd, keys, values, places_bl, lengths_b, block, scales, None)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = triton_paged.decode_attention(q_bhd, keys, values, places_bl, lengths_b, block, scales, None)
    for lengths in ((3000, 17), (1, 0), (2999, 16)):
        lengths_b.copy_(torch.tensor(lengths))
        graph.replay()
        assert close(found, reference(q_bhd, keys, values, places_bl, lengths_b, block, scales))
