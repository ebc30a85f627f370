"""Logits are those of a head that was widened to fp32."""

from __future__ import annotations

import pytest
import torch

from engine.gpu.head import Head


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")],
        ),
    ],
)
def test_sums_are_fp32(device: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x_sD, weight_vD = torch.randn(3, 64).to(device, dtype), torch.randn(40, 64).to(device, dtype)
    found = Head(weight_vD).times(x_sD.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x_sD.float() @ weight_vD.float().t(), atol=1e-5, rtol=0)
