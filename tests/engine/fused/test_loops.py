"""Each loop against torch's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.fused import loops
from engine.fused.compiled import compiled
from engine.fused.loops import Floats


@compiled
def exponentials(x_n: Floats) -> None:
    for n in range(len(x_n)):
        x_n[n] = loops.exp(x_n[n])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_exponential_is_exact_to_fp32() -> None:
    x = torch.linspace(-87, 88, 40_001)
    found = x.clone()
    exponentials(found.numpy())
    torch.testing.assert_close(found, x.double().exp().float(), rtol=3e-7, atol=0)


def test_the_exponential_of_what_is_no_number_is_none_and_its_ends_are_finite() -> None:
    found = np.array([np.nan, -np.inf, np.inf, -1e9, 0.0], np.float32)
    exponentials(found)
    assert np.isnan(found[0])
    assert found[1] == found[3] < 1e-37
    assert np.isfinite(found[2])
    assert found[4] == 1


def test_a_part_is_added_and_the_sum_normed() -> None:
    x, part, weight = random(3, 48), random(3, 48, seed=1), random(48, seed=2)
    wanted, out = x + part, torch.empty(3, 48)
    loops.add_and_norm(x.numpy(), part.numpy(), weight.numpy(), 1e-5, out.numpy())
    torch.testing.assert_close(x, wanted)
    torch.testing.assert_close(out, F.rms_norm(wanted, (48,), weight, 1e-5), rtol=1e-5, atol=1e-6)


def test_the_gate_is_silu() -> None:
    both, out = random(5, 34) * 20, torch.empty(5, 17)
    loops.gate(both.numpy(), out.numpy())
    torch.testing.assert_close(out, F.silu(both[:, :17]) * both[:, 17:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("each", [1, 2, 5])
def test_tokens_go_to_their_likeliest_experts_in_the_order_of_the_experts(each: int) -> None:
    x, router = random(7, 32), random(5, 32, seed=1)
    rows, token, count = np.empty((7 * each, 32), np.float32), np.empty(7 * each, np.int64), np.empty(5, np.int64)
    loops.route(x.numpy(), router.numpy(), each, rows, token, count)

    kept, chosen = F.linear(x, router).topk(each)
    scale = kept.sigmoid()
    assert count.tolist() == chosen.flatten().bincount(minlength=5).tolist()
    n = 0
    for expert in range(5):
        for at in (chosen == expert).any(1).nonzero().flatten().tolist():
            assert token[n] == at
            wanted = x[at] * scale[at][chosen[at] == expert]
            torch.testing.assert_close(torch.from_numpy(rows[n]), wanted, rtol=1e-6, atol=1e-6)
            n += 1


def test_a_token_that_is_no_number_goes_somewhere_and_stays_none() -> None:
    x = torch.full((2, 8), float("nan"))
    rows, token, count = np.empty((2, 8), np.float32), np.full(2, -1), np.empty(3, np.int64)
    loops.route(x.numpy(), random(3, 8).numpy(), 1, rows, token, count)
    assert (count.sum(), sorted(token.tolist())) == (2, [0, 1])
    assert np.isnan(rows).all()


def test_rows_are_added_to_their_tokens() -> None:
    part = torch.zeros(2, 3)
    loops.add_rows(part.numpy(), np.ones((3, 3), np.float32), np.array([1, 0, 1]))
    assert part.tolist() == [[1, 1, 1], [2, 2, 2]]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 13, 18])
@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("outputs", "inputs"), [(9, 33), (2, 16), (1, 7), (93, 640)])
def test_products_are_those_of_torch(rows: int, dtype: torch.dtype, outputs: int, inputs: int) -> None:
    x, scale = random(rows, inputs), random(outputs, seed=1)
    weight = (random(outputs, inputs, seed=2) * 20).round().clamp(-127, 127).to(dtype)
    stored = weight.view(torch.uint16).numpy() if dtype == torch.bfloat16 else weight.numpy()
    out = torch.full((rows, outputs), 7.0)
    loops.times(x.numpy(), stored, scale.numpy(), out.numpy(), 0, outputs)
    wanted = F.linear(x, weight.float()) * scale
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()) + 1e-4)


def test_a_product_may_be_computed_in_parts() -> None:
    x, weight, out = random(5, 16), random(11, 16, seed=1), torch.full((5, 11), 7.0)
    for begin, end in ((0, 3), (3, 4), (4, 11)):
        loops.times(x.numpy(), weight.numpy(), np.ones(11, np.float32), out.numpy(), begin, end)
    torch.testing.assert_close(out, F.linear(x, weight))
