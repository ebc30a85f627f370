"""Only chosen experts work, on inputs scaled by a sigmoid, beside the shared one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.model.moe import mlp, moe
from engine.weights import Mlp, Moe

D, E, W = 6, 5, 4


def weights() -> Moe:
    torch.manual_seed(1)
    shared = Mlp(torch.randn(2 * W, D), torch.randn(D, W))
    return Moe(torch.randn(E, D), torch.randn(E, 2 * W, D), torch.randn(E, D, W), shared)


def expert(x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    gate, up = (gate_up @ x).split(W)
    return down @ (F.silu(gate) * up)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("tokens", [1, 2, 17])
def test_the_sum_is_that_of_the_definition(k: int, tokens: int) -> None:
    one = weights()
    x = torch.randn(tokens, D)
    wanted = mlp(x, one.shared)
    for t in range(tokens):
        logits = one.router_eD @ x[t]
        for e in logits.topk(k).indices.tolist():
            wanted[t] += expert(x[t] * logits[e].sigmoid(), one.gate_up_egD[e], one.down_eDf[e])

    torch.testing.assert_close(moe(x, one, k), wanted, atol=1e-4, rtol=1e-4)


def test_experts_without_tokens_are_not_read() -> None:
    """Their weights may be anything; a NaN would show."""
    one = weights()
    x = torch.randn(3, D)
    chosen = set((x @ one.router_eD.T).argmax(-1).tolist())
    for e in set(range(E)) - chosen:
        one.gate_up_egD[e] = float("nan")

    assert torch.isfinite(moe(x, one, 1)).all()
