"""Attention in loops against torch's, and the memory of keys against the runner's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.fused.attention import attend, prepare
from engine.fused.loops import Floats, Stored
from engine.model.norm import unit_rms
from engine.model.rope import rotate

HEADS, KV_HEADS, D, ROOM = 6, 2, 8, 40


def memory(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(3)
    keys, values = (torch.randn(KV_HEADS, ROOM, D, generator=drawn).to(dtype) for _ in range(2))
    return keys, values


def arrays(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[Stored, Stored]:
    keys, values = (one.view(torch.uint16) if one.dtype == torch.bfloat16 else one for one in pair)
    return keys.numpy(), values.numpy()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("counts", [(1,), (2, 3), (4, 5, 17)])
def test_rows_get_what_softmax_gives_them(dtype: torch.dtype, counts: tuple[int, ...]) -> None:
    keys, values = memory(dtype)
    joined = torch.randn(len(counts), (HEADS + 2 * KV_HEADS) * D) * 3
    places = [torch.randperm(ROOM)[:count] for count in counts]
    ends = np.cumsum(counts)
    out = torch.empty(len(counts), HEADS * D)
    seen = torch.cat(places).numpy()
    for heads in ((0, 1), (1, 2)):
        attend(joined.numpy(), HEADS, arrays((keys, values)), seen, ends - counts, ends, out.numpy(), *heads)
    for row, one in enumerate(places):
        query = joined[row, : HEADS * D].view(1, HEADS, 1, D)
        shown = (part[:, one].float().repeat_interleave(HEADS // KV_HEADS, 0)[None] for part in (keys, values))
        wanted = F.scaled_dot_product_attention(query, *shown).flatten()
        torch.testing.assert_close(out[row], wanted, rtol=1e-5, atol=1e-5)


def test_a_key_that_is_no_number_is_not_smoothed_away() -> None:
    keys, values = memory(torch.float32)
    keys[:, 1] = float("nan")
    out = torch.zeros(1, HEADS * D)
    args = (np.arange(3), np.array([0]), np.array([3]), out.numpy(), 0, KV_HEADS)
    attend(torch.randn(1, (HEADS + 2 * KV_HEADS) * D).numpy(), HEADS, arrays((keys, values)), *args)
    assert out.isnan().all()


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("is_turned", "is_unit"), [(True, True), (True, False), (False, False)])
def test_queries_and_keys_are_normed_turned_and_kept(is_weighted: bool, is_turned: bool, is_unit: bool) -> None:
    keys, values = memory(torch.float32)
    joined = torch.randn(3, (HEADS + 2 * KV_HEADS) * D)
    turn = torch.polar(torch.ones(3, D // 2), torch.rand(3, D // 2) * 6)
    sharper = torch.tensor([1.0, 1.5, 2.0])
    weights = (torch.rand(D), torch.rand(D)) if is_weighted else (torch.empty(0), torch.empty(0))
    wanted = joined.clone().view(3, -1, D)
    both = wanted[:, : HEADS + KV_HEADS]
    if is_weighted:
        each = torch.cat([weights[0].expand(HEADS, D), weights[1].expand(KV_HEADS, D)])
        both[:] = unit_rms(both, 1e-5) * each
    if is_turned:
        both[:] = rotate(both, turn)
    if is_unit:
        both[:] = unit_rms(both, 1e-5)
    wanted[:, :HEADS] *= sharper[:, None, None]

    angles: tuple[Floats, Floats] = (turn.real.contiguous().numpy(), turn.imag.contiguous().numpy())
    norms: tuple[Floats, Floats] = (weights[0].numpy(), weights[1].numpy())
    place = np.array([5, 9, 6])
    kept = arrays((keys, values))
    prepare(joined.numpy(), HEADS, angles, norms, is_turned, is_unit, sharper.numpy(), 1e-5, kept, place)

    torch.testing.assert_close(joined.view(3, -1, D), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(keys[:, place], joined.view(3, -1, D)[:, HEADS:-KV_HEADS].transpose(0, 1))
    torch.testing.assert_close(values[:, place], joined.view(3, -1, D)[:, -KV_HEADS:].transpose(0, 1))
