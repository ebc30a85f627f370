"""Laid-out weights and fewer bits: close to fp32, alike in any company, and only where it was meant."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.reduced import KINDS, DenseLinear, Int8Linear, bias_of, has_fast_bf16, make_linear, packs, reduce_layers

TOLERANCES = {"fp32": 1e-6, "bf16": 0.02, "int8": 0.02}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("shape", [(2, 9, 64), (7, 64), (1, 64)])
def test_results_are_close_to_those_of_fp32(kind: str, bias: bool, gelu: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    x = torch.randn(shape)

    with torch.inference_mode():
        expected = F.gelu(linear(x)) if gelu else linear(x)
        found = make_linear(kind, linear.weight, bias_of(linear), gelu=gelu)(x)

    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < TOLERANCES[kind] * expected.abs().max()


def test_a_layer_can_answer_in_the_format_of_the_next() -> None:
    linear = nn.Linear(8, 8)
    with torch.inference_mode():
        assert (
            make_linear("bf16", linear.weight, linear.bias, out=torch.bfloat16)(torch.ones(8)).dtype == torch.bfloat16
        )


def test_a_token_is_not_moved_by_a_loud_neighbour_in_int8() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 48)
    layer = Int8Linear(linear.weight, linear.bias)
    quiet, loud = torch.randn(1, 64), torch.randn(1, 64) * 1000

    with torch.inference_mode():
        assert torch.equal(layer(torch.cat([quiet, loud]))[0], layer(quiet)[0])


def test_zeros_stay_numbers() -> None:
    linear = nn.Linear(8, 8)
    with torch.inference_mode():
        assert torch.isfinite(Int8Linear(linear.weight, linear.bias)(torch.zeros(3, 8))).all()


def test_weights_without_a_kernel_for_them_stay_plain() -> None:
    """Elsewhere than on a CPU there is no such layout; the result is the same."""
    assert not packs(torch.empty(4, 4, device="meta"))


def test_only_layers_of_the_stack_are_replaced() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2)])
            self.head = nn.Linear(8, 2)

    model = Model()

    assert reduce_layers(model, "bf16") == 2
    assert isinstance(model.head, nn.Linear)
    assert all(isinstance(module[0], DenseLinear) for module in model.layer)
    assert isinstance(has_fast_bf16(), bool)
