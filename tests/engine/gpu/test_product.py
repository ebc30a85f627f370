"""Which product is taken, and that rows and weights in eight bits meet in the same order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.gpu.packed import PRECISIONS, pack
from engine.gpu.product import product, rounded_rows
from tests.engine.gpu.kernels import on_gpu

CPU = torch.device("cpu")


@pytest.mark.parametrize("inputs", [20, 64])
def test_shapes_that_torch_has_no_product_by_group_for(inputs: int) -> None:
    torch.manual_seed(inputs)
    packed = pack([torch.randn(12, inputs), torch.randn(12, inputs)], "bf16", CPU)
    x, ends = torch.randn(5, inputs).bfloat16(), torch.tensor([2, 5], dtype=torch.int32)
    wide = packed.wide(torch.bfloat16)
    exact = torch.cat([F.linear(x[:2], wide[0]), F.linear(x[2:], wide[1])])
    torch.testing.assert_close(product(x, packed, ends), exact)


def test_rows_in_eight_bits_have_the_order_of_the_words() -> None:
    torch.manual_seed(1)
    packed = pack([torch.randn(16, 384)], "fp8", CPU)
    x = torch.randn(5, 384)
    steps, scale = rounded_rows(x)
    words = packed.words.flatten(2).view(torch.float8_e4m3fn)[0].float()
    found = steps.float() @ words.t() * scale[:, None] * packed.scale_epoh[0, 0, :, 0]
    exact = x @ packed.wide(torch.float32)[0].t()
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("counts", [[1, 0, 3], [400, 0, 900, 1]])
@pytest.mark.parametrize("is_grouped", [True, False])
def test_on_a_gpu(precision: str, counts: list[int], is_grouped: bool) -> None:
    """Few and many rows; where rows are rounded, too, they may be off by as much. Its twins are in test_experts."""
    torch.manual_seed(sum(counts))
    counts = counts if is_grouped else [sum(counts)]
    packed = pack([torch.randn(512, 1024) for _ in counts], precision, torch.device("cuda"))
    x = torch.randn(sum(counts), 1024, device="cuda", dtype=torch.float32 if precision == "fp32" else torch.bfloat16)
    ends = torch.tensor(counts).cumsum(0).to(torch.int32).cuda() if is_grouped else None
    wide = packed.wide(torch.float32)
    exact = torch.cat([part.float() @ weight.t() for part, weight in zip(x.split(counts), wide, strict=True)])
    found = product(x, packed, ends).float()
    bound = {"fp32": 1e-3, "fp8": 0.06}.get(precision, 0.01)
    assert (found - exact).square().mean().sqrt() < bound * exact.square().mean().sqrt()
