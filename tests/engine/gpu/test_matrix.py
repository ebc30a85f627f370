"""Every form of a projection computes the same product, as closely as its bits allow, for any number of tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.gpu.matrix import LAYS

BOUNDS = {"fp32": 1e-6, "bf16": 0.005, "fp8": 0.05, "int8": 0.012, "int4": 0.15}
"""Root mean square of the differences as a share of that of the results."""


@pytest.mark.parametrize("precision", LAYS)
@pytest.mark.parametrize("tokens", [1, 17, 130])
def test_the_product_is_close_to_that_of_fp32(precision: str, tokens: int) -> None:
    torch.manual_seed(tokens)
    x, weight = torch.randn(tokens, 128), torch.randn(48, 128)
    exact = F.linear(x, weight)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    found = LAYS[precision](weight).times(x.to(dtype))

    assert found.dtype == dtype
    assert (found.float() - exact).square().mean().sqrt() <= BOUNDS[precision] * exact.square().mean().sqrt()
