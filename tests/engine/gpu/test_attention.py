"""Pieces of prompts get what the processor's own attention gives them."""

from __future__ import annotations

import pytest
import torch

from engine.gpu import attention
from engine.model.causal import causal


def drawn(count: int, places: int) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(places)
    return torch.randn(count, 8, 16), torch.randn(2, places, 16), torch.randn(2, places, 16)


@pytest.mark.parametrize(("count", "places"), [(1, 7), (5, 5), (5, 40), (70, 200)])
def test_each_token_sees_what_lies_before_it(count: int, places: int) -> None:
    given = drawn(count, places)
    torch.testing.assert_close(attention.causal(*given), causal(*given), atol=2e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "places"), [(5, 5), (70, 200), (1000, 3000)])
def test_on_a_gpu_too(count: int, places: int, dtype: torch.dtype) -> None:
    given = drawn(count, places)
    found = attention.causal(*(one.to("cuda", dtype) for one in given))
    torch.testing.assert_close(found.float().cpu(), causal(*given), atol=1e-5 if dtype.itemsize == 4 else 0.02, rtol=0)
