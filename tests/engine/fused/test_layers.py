"""The parts of a layer in loops against those in torch, of the same weights. Whole models: test_runner.py."""

from __future__ import annotations

import pytest
import torch

from engine.fused.form import loop_form
from engine.fused.layers import Dense, Mixture
from engine.fused.products import product
from engine.matrix import Lay, plain
from engine.model.moe import mlp, moe
from engine.weights import Mlp, Moe


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape) * 0.3


@pytest.mark.parametrize("lay", [loop_form("fp32").lay, plain], ids=["in one call", "through torch"])
@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_a_dense_part_is_that_of_torch(tokens: int, lay: Lay) -> None:
    torch.manual_seed(1)
    gate_up, down, x = draw(64, 32), draw(32, 32), draw(tokens, 32)
    found = Dense(*(product(lay(one), torch.float32) for one in (gate_up, down)))(x.numpy())
    torch.testing.assert_close(torch.from_numpy(found), mlp(x, Mlp(gate_up, down)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_a_mixture_is_that_of_torch(tokens: int, each: int) -> None:
    torch.manual_seed(2)
    lay = loop_form("fp32").lay
    router, gate_up, down, x = draw(4, 32), draw(4, 64, 32), draw(4, 32, 32), draw(tokens, 32)
    shared = Mlp(draw(64, 32), draw(32, 32))
    experts = [
        Dense(product(lay(first), torch.float32), product(lay(last), torch.float32))
        for first, last in zip(gate_up, down, strict=True)
    ]
    common = Dense(product(shared.gate_up, torch.float32), product(shared.down, torch.float32))
    found = Mixture(router.numpy(), each, experts, common)(x.numpy())
    wanted = moe(x, Moe(router, gate_up, down, shared), each)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-5, atol=1e-5)
