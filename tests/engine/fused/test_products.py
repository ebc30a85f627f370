"""Every form of weights gives its product to a few rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.fused.form import loop_form
from engine.fused.looped import Looped
from engine.fused.products import ThroughTorch, product
from engine.matrix import DTYPES, Matrix


@pytest.mark.parametrize(
    ("precision", "kind", "bound"),
    [("fp32", Looped, 1e-6), ("bf16", ThroughTorch, 0.01), ("int8", Looped, 0.01), ("int4", ThroughTorch, 0.2)],
)
@pytest.mark.parametrize("rows", [1, 6])
def test_products_are_near_those_of_the_weights(precision: str, kind: type, bound: float, rows: int) -> None:
    weight, x, dtype = torch.randn(32, 64), torch.randn(rows, 64), DTYPES[precision]
    multiply = product(loop_form(precision).lay(weight.to(dtype)), dtype)
    wanted = F.linear(x, weight)
    with torch.inference_mode():
        off = torch.from_numpy(multiply(x.numpy())) - wanted
    assert isinstance(multiply, kind)
    assert off.square().mean().sqrt() < bound * wanted.square().mean().sqrt()


def test_activations_are_never_reduced_by_eight_bits_of_weights() -> None:
    weight: Matrix = loop_form("int8").lay(torch.ones(16, 64).bfloat16())
    # In bf16 this is 1: the torch path would lose it.
    x = torch.full((1, 64), 1.001)
    assert product(weight, torch.bfloat16)(x.numpy())[0, 0] == pytest.approx(64 * 1.001, rel=2e-4 + 1 / 254)
