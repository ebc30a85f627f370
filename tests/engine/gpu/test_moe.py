"""Experts that are not asked for their counts give what those give that are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.device import CPU
from engine.gpu.between import add_norm, spread
from engine.gpu.experts import experts_of
from engine.gpu.head import Head
from engine.gpu.moe import BESIDE, added_by, grouped_moe
from engine.model.moe import moe
from engine.weights import GroupedMoe, Mlp, Moe

GPU = pytest.param(
    torch.device("cuda"),
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")],
)
HIDDEN, WIDTH, EXPERTS = 32, 48, 5


def both(dtype: torch.dtype, device: torch.device) -> tuple[Moe, GroupedMoe]:
    torch.manual_seed(3)

    def some(*shape: int) -> Tensor:
        return (torch.randn(*shape) / 6).to(device, dtype)

    router, gate_up, down = (
        some(EXPERTS, HIDDEN).float(),
        some(EXPERTS, 2 * WIDTH, HIDDEN),
        some(EXPERTS, HIDDEN, WIDTH),
    )
    shared = Mlp(some(2 * WIDTH, HIDDEN), some(HIDDEN, WIDTH))
    precision = "fp32" if dtype == torch.float32 else "bf16"
    stacks = ([*gate_up, shared.gate_up], [*down, shared.down])
    joined = [experts_of(one, precision, device) for one in stacks]
    last = Mlp(*(one.one(EXPERTS) for one in joined))
    return Moe(router, gate_up, down, shared), GroupedMoe(Head(router), *joined, last)


def test_ends_count_up_past_experts_without_a_row() -> None:
    logits_be = torch.nn.functional.one_hot(torch.tensor([3, 1, 1]), 5).float()
    found = spread(torch.arange(3.0)[:, None], logits_be, 1)
    assert found.ends_e.tolist() == [0, 2, 2, 3, 3]
    assert found.place_n.tolist() == [2, 0, 1]


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("per_token", [1, 2])
@pytest.mark.parametrize("tokens", [1, 2, 33])
def test_the_same_in_fp32(tokens: int, per_token: int, device: torch.device) -> None:
    routed, grouped = both(torch.float32, device)
    x_tD = torch.randn(tokens, HIDDEN, device=device)
    found, wanted = grouped_moe(x_tD, grouped, per_token), moe(x_tD, routed, per_token)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    apart = added_by(x_tD, grouped, per_token)
    together, _ = add_norm(torch.zeros_like(x_tD), apart, torch.ones(HIDDEN, device=device), 1e-5)
    torch.testing.assert_close(together, wanted, atol=1e-5, rtol=0)
    is_beside = tokens <= BESIDE and per_token == 1
    assert (apart.part_bD is None) == is_beside


@pytest.mark.parametrize("device", [CPU, GPU])
def test_near_in_bf16(device: torch.device) -> None:
    routed, grouped = both(torch.bfloat16, device)
    x_tD = torch.randn(33, HIDDEN, device=device, dtype=torch.bfloat16)
    torch.testing.assert_close(grouped_moe(x_tD, grouped, 2), moe(x_tD, routed, 2), atol=0.03, rtol=0.03)
