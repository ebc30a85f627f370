"""What loops keep is what torch keeps of the same numbers, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.choices import KV_PRECISIONS
from engine.fused.attention import prepare
from engine.fused.memory import memories
from engine.kv_layout import layout_of
from engine.pages import Pages, pages_of
from tests.engine.stand_ins import small_config
from tests.engine.test_kv_layout import mixed

CONFIG = small_config(heads=2, kv_heads=2, head_dim=8)
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def pages(kept_as: str, dtype: torch.dtype = torch.float32) -> Pages:
    """All of it zeros, so that what nobody wrote is equal, too."""
    found = pages_of(CONFIG, layout_of(CONFIG), 1, dtype, kept_as)
    for pool in found._pools():
        pool.zero_()
    return found


def same_in_both(kept_as: str, dtype: torch.dtype, rows_kd: torch.Tensor) -> None:
    one, other = pages(kept_as, dtype), pages(kept_as, dtype)
    one.write(0, torch.tensor([5]), rows_kd[None].to(dtype), -rows_kd[None].to(dtype))
    # Queries, keys and values of one row, with nothing between the product and what is kept.
    joined_tc = torch.cat([torch.zeros(16), rows_kd.flatten(), -rows_kd.flatten()])[None]
    none = np.empty((1, 0), np.float32)
    one_t, place_t = np.ones(1, np.float32), np.array([5])
    memory = memories(other)[0]
    prepare(joined_tc.numpy(), 2, (none, none), (none[0], none[0]), False, False, one_t, 1e-5, memory, place_t)
    for theirs, ours in zip(one._pools(), other._pools(), strict=True):
        wide = [pool.float() for pool in (theirs, ours)]
        assert torch.equal(*(part.nan_to_num(7e37) for part in wide))
        assert torch.equal(*(part.signbit() & ~part.isnan() for part in wide))


@pytest.mark.parametrize("kept_as", KV_PRECISIONS["generate"])
@settings(deadline=None)  # The first call may compile.
@given(numbers=st.lists(FLOATS | st.floats(-8, 8, width=32), min_size=16, max_size=16))
def test_any_numbers_are_kept_as_torch_keeps_them(kept_as: str, numbers: list[float]) -> None:
    same_in_both(kept_as, torch.float32, torch.tensor(numbers).view(2, 8))


@pytest.mark.parametrize("kept_as", KV_PRECISIONS["generate"])
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 300.0])
def test_drawn_numbers_of_any_size_are_kept_as_torch_keeps_them(kept_as: str, size: float) -> None:
    drawn = torch.Generator().manual_seed(1)
    for _ in range(200):
        same_in_both(kept_as, torch.float32, torch.randn(2, 8, generator=drawn) * size)


def test_sixteen_bits_are_kept_as_torch_keeps_them() -> None:
    drawn = torch.Generator().manual_seed(2)
    for _ in range(50):
        same_in_both("auto", torch.bfloat16, torch.randn(2, 8, generator=drawn))


def test_every_layer_has_the_memory_of_its_home() -> None:
    config = mixed(1, 2)
    layout = layout_of(config, 4)
    whole = pages_of(config, layout, 3, torch.float32, "int8")
    for home, (keys, values) in zip(layout.homes, memories(whole), strict=True):
        keys[0][0, 3, 1], values[1][0, 2] = 7, np.uint16(torch.tensor(2.0).bfloat16().view(torch.uint16))
        assert whole.keys_lkpd[home.row, 0, 3, 1] == 7
        assert whole.value_scales_lkp[home.row, 0, 2] == 2.0  # type: ignore[attr-defined]
