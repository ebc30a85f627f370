"""Attention in loops against torch's, over the memory of keys that both share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.fused.attention import attend, prepare
from engine.fused.loops import Floats
from engine.fused.memory import memories
from engine.kv_layout import layout_of
from engine.model.norm import unit_rms
from engine.model.rope import rotate
from engine.pages import Pages, pages_of
from tests.engine.stand_ins import small_config

HEADS, KV_HEADS, D, ROOM = 6, 2, 8, 48
KINDS = [("auto", torch.float32), ("auto", torch.bfloat16), ("int8", torch.float32), ("fp8", torch.float32)]


def filled(kept_as: str = "auto", dtype: torch.dtype = torch.float32) -> Pages:
    """Something at every place."""
    config = small_config(heads=HEADS, kv_heads=KV_HEADS, head_dim=D)
    drawn = torch.Generator().manual_seed(3)
    pages = pages_of(config, layout_of(config), ROOM // 16, dtype, kept_as)
    keys, values = (torch.randn(ROOM, KV_HEADS, D, generator=drawn).to(dtype) for _ in range(2))
    pages.write(0, torch.arange(ROOM), keys, values)
    return pages


@pytest.mark.parametrize(("kept_as", "dtype"), KINDS)
@pytest.mark.parametrize("counts", [(1,), (2, 3), (4, 5, 17)])
def test_rows_get_what_softmax_gives_them(kept_as: str, dtype: torch.dtype, counts: tuple[int, ...]) -> None:
    pages = filled(kept_as, dtype)
    joined = torch.randn(len(counts), (HEADS + 2 * KV_HEADS) * D) * 3
    places = [torch.randperm(ROOM)[:count] for count in counts]
    ends = np.cumsum(counts)
    out = torch.empty(len(counts), HEADS * D)
    seen = torch.cat(places).numpy()
    for heads in ((0, 1), (1, 2)):
        attend(joined.numpy(), HEADS, memories(pages)[0], seen, ends - counts, ends, out.numpy(), *heads)
    for row, one in enumerate(places):
        query = joined[row, : HEADS * D].view(1, HEADS, 1, D)
        shown = (part.float().repeat_interleave(HEADS // KV_HEADS, 0)[None] for part in pages.read(0, one))
        wanted = F.scaled_dot_product_attention(query, *shown).flatten()
        torch.testing.assert_close(out[row], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kept_as", ["auto", "int8", "fp8"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_key_that_is_no_number_is_not_smoothed_away(kept_as: str, value: float) -> None:
    pages, broken = filled(kept_as), torch.ones(1, KV_HEADS, D)
    broken[:, :, 3] = value
    pages.write(0, torch.tensor([1]), broken, broken)
    out = torch.zeros(1, HEADS * D)
    args = (np.arange(3), np.array([0]), np.array([3]), out.numpy(), 0, KV_HEADS)
    # Below nothing, so that what is infinite is not left out for having no share.
    attend(torch.rand(1, (HEADS + 2 * KV_HEADS) * D).numpy(), HEADS, memories(pages)[0], *args)
    assert out.isnan().any(dim=1).all()


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("is_turned", "is_unit"), [(True, True), (True, False), (False, False)])
def test_queries_and_keys_are_normed_turned_and_kept(is_weighted: bool, is_turned: bool, is_unit: bool) -> None:
    pages = filled()
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
    kept = memories(pages)[0]
    prepare(joined.numpy(), HEADS, angles, norms, is_turned, is_unit, sharper.numpy(), 1e-5, kept, place)

    torch.testing.assert_close(joined.view(3, -1, D), wanted, rtol=1e-5, atol=1e-5)
    keys, values = pages.read(0, torch.from_numpy(place))
    torch.testing.assert_close(keys, joined.view(3, -1, D)[:, HEADS:-KV_HEADS].transpose(0, 1))
    torch.testing.assert_close(values, joined.view(3, -1, D)[:, -KV_HEADS:].transpose(0, 1))
