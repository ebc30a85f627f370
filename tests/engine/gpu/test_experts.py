"""Rows sorted by expert, each times its own expert's weights, in every precision."""

from __future__ import annotations

import pytest
import torch

from engine.gpu.experts import experts_of

BOUNDS = {"fp32": 1e-6, "bf16": 0.005, "fp8": 0.05, "int8": 0.012, "int4": 0.15}
"""Root mean square of the differences as a share of that of the results."""


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("counts", [[1], [0, 1, 0], [3, 0, 5, 0, 17], [0, 0, 40]])
def test_each_row_meets_its_own_expert(precision: str, counts: list[int]) -> None:
    torch.manual_seed(sum(counts))
    weights = [torch.randn(48, 128) for _ in counts]
    x = torch.randn(sum(counts), 128)
    exact = torch.cat([part @ weight.t() for part, weight in zip(x.split(counts), weights, strict=True)])
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    ends = torch.tensor(counts, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    found = experts_of(weights, precision, torch.device("cpu")).times(x.to(dtype), ends)

    assert found.dtype == dtype
    assert (found.float() - exact).square().mean().sqrt() <= BOUNDS[precision] * exact.square().mean().sqrt()
