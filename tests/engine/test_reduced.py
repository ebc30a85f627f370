"""Fewer bits: close to fp32, alike in any company, and only where it was meant."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.reduced import KINDS, Bf16Linear, Int8Linear, has_fast_bf16, reduce_layers


@pytest.mark.parametrize(("kind", "tolerance"), [("bf16", 0.01), ("int8", 0.02)])
@pytest.mark.parametrize("bias", [True, False])
def test_results_are_close_to_those_of_fp32(kind: str, tolerance: float, bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    x = torch.randn(2, 9, 64)

    with torch.inference_mode():
        expected, found = linear(x), KINDS[kind](linear)(x)

    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def test_a_token_is_not_moved_by_a_loud_neighbour_in_int8() -> None:
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(64, 48))
    quiet, loud = torch.randn(1, 64), torch.randn(1, 64) * 1000

    with torch.inference_mode():
        assert torch.equal(layer(torch.cat([quiet, loud]))[0], layer(quiet)[0])


def test_zeros_stay_numbers() -> None:
    with torch.inference_mode():
        assert torch.isfinite(Int8Linear(nn.Linear(8, 8))(torch.zeros(3, 8))).all()


def test_only_layers_of_the_stack_are_replaced() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2)])
            self.head = nn.Linear(8, 2)

    model = Model()

    assert reduce_layers(model, "bf16") == 2
    assert isinstance(model.head, nn.Linear)
    assert all(isinstance(module[0], Bf16Linear) for module in model.layer)
    assert isinstance(has_fast_bf16(), bool)
