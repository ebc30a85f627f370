"""The kernel for reduced weights against the plain product with what the words mean; see kernels.py for how it runs."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.gpu.packed import Packed, pack
from tests.engine.gpu.kernels import DEVICE, DTYPE, close, interpreted, kernels, on_gpu

triton_product = kernels("triton_product")
PRECISIONS = ("int4", "int8", "fp8", "fp32", "bf16")


def made(
    precision: str, counts: list[int], inputs: int, outputs: int, group: int = 128
) -> tuple[Tensor, Packed, Tensor]:
    torch.manual_seed(sum(counts) + inputs)
    packed = pack([torch.randn(outputs, inputs) for _ in counts], precision, DEVICE, group)
    ends_e = torch.tensor(counts).cumsum(0).to(torch.int32).to(DEVICE)
    return torch.randn(sum(counts), inputs, dtype=DTYPE, device=DEVICE), packed, ends_e


def expected(x_ni: Tensor, packed: Packed, counts: list[int]) -> Tensor:
    parts = zip(x_ni.float().split(counts), packed.wide(torch.float32), strict=True)
    return torch.cat([F.linear(part, weight_oi) for part, weight_oi in parts])


def check(precision: str, counts: list[int], inputs: int, outputs: int, group: int = 128) -> None:
    x_ni, packed, ends_e = made(precision, counts, inputs, outputs, group)
    found = triton_product.product(x_ni, packed, ends_e)
    assert found.dtype == x_ni.dtype
    assert close(found, expected(x_ni, packed, counts))
    if len(counts) == 1:
        assert close(triton_product.product(x_ni, packed), expected(x_ni, packed, counts))
    assert not triton_product.counts(DEVICE).any()


SHAPES = [
    ([3, 0, 5, 0, 17], 200, 70),
    ([1], 128, 16),
    ([0, 0, 2], 1100, 33),
    ([20], 640, 33),
    ([0], 128, 33),
]


@interpreted
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("counts", "inputs", "outputs"), SHAPES)
def test_a_few_rows(precision: str, counts: list[int], inputs: int, outputs: int) -> None:
    check(precision, counts, inputs, outputs)


@interpreted
@pytest.mark.parametrize("seed", range(6))
def test_some_shapes(seed: int) -> None:
    draw = random.Random(seed)
    counts = [draw.choice([0, 0, 1, 2, 16, 17, 33]) for _ in range(draw.randint(1, 9))]
    inputs, outputs = draw.choice([32, 100, 128, 256, 1000]), draw.choice([1, 7, 32, 33, 80])
    check(draw.choice(PRECISIONS), counts, inputs, outputs, draw.choice([32, 128]))


@pytest.mark.parametrize("tile", [*triton_product.TILES, *triton_product.WHOLE_TILES])
def test_all_divisions_of_rows_have_room(tile: object) -> None:
    """As many tiles as the grid has are enough, however the rows fall."""
    draw = random.Random(0)
    for _ in range(200):
        counts = [draw.choice([0, 1, 15, 16, 17, 128, 129]) for _ in range(draw.randint(1, 20))]
        needed = sum(-(-count // tile.rows) for count in counts)
        assert needed <= triton_product.tiles_for(tile, sum(counts), len(counts))


@pytest.mark.parametrize(
    ("programs", "blocks", "splits"), [(1, 64, 8), (256, 40, 4), (80, 64, 8), (4000, 64, 1), (1, 3, 1)]
)
def test_few_programs_divide_the_inputs(programs: int, blocks: int, splits: int) -> None:
    assert triton_product._splits(programs, blocks, wanted=8 * 132) == splits


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("counts", "inputs", "outputs"),
    [*SHAPES, ([1], 5120, 16384), ([0] * 9 + [1, 2], 8192, 5120), ([300, 0, 129, 1000], 1024, 2048), ([70], 1032, 200)],
)
def test_on_a_gpu(precision: str, counts: list[int], inputs: int, outputs: int) -> None:
    """Its twins are above. Twice, as whoever adds up must leave the memory as it was."""
    for _ in range(2):
        check(precision, counts, inputs, outputs)
    check("int4", counts, inputs, outputs, group=32)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_recorded_call_follows_its_data(precision: str) -> None:
    """One graph, two ways in which the rows fall."""
    x_ni, packed, ends_e = made(precision, [2, 1, 5, 0], 512, 256)
    triton_product.product(x_ni, packed, ends_e)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = triton_product.product(x_ni, packed, ends_e)
    for counts in ([2, 1, 5, 0], [0, 0, 0, 8]):
        ends_e.copy_(torch.tensor(counts).cumsum(0))
        graph.replay()
        assert close(found, expected(x_ni, packed, counts))


@pytest.mark.gpu
@on_gpu
def test_the_same_call_gives_the_same_bits() -> None:
    """Whoever comes last adds up, in the same order."""
    x_ni, packed, ends_e = made("int4", [1], 8192, 5120)
    first = triton_product.product(x_ni, packed, ends_e)
    assert all(torch.equal(first, triton_product.product(x_ni, packed, ends_e)) for _ in range(50))
