"""Grids that weights were rounded to before are found again, and only those."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.steps import TINY, is_on_grid, steps_of


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([torch.float32, torch.bfloat16]), st.sampled_from([32, 128]))
def test_a_grid_is_found_again(seed: int, dtype: torch.dtype, group: int) -> None:
    torch.manual_seed(seed)
    whole_ogn = torch.randint(-8, 8, (8, 3, group)).float()
    step_og1 = (torch.rand(8, 3, 1) + 0.1).bfloat16().float()
    found_og = steps_of((whole_ogn * step_og1).to(dtype).float())
    again_ogn = (whole_ogn * step_og1 / found_og[..., None]).round() * found_og[..., None]
    assert torch.allclose(again_ogn, whole_ogn * step_og1, rtol=0.01, atol=0.01)


def test_what_was_never_rounded_is_on_no_grid() -> None:
    torch.manual_seed(0)
    weights = torch.randn(8, 3, 128)
    assert not is_on_grid(weights)
    torch.testing.assert_close(steps_of(weights), weights.abs().amax(2) / 7)


def test_groups_of_32_are_not_one_of_128() -> None:
    torch.manual_seed(0)
    weights = torch.randint(-8, 8, (8, 12, 32)) * (torch.rand(8, 12, 1) + 0.1)
    assert is_on_grid(weights)
    assert not is_on_grid(weights.view(8, 3, 128))


def test_zeros_are_on_every_grid() -> None:
    assert is_on_grid(torch.zeros(2, 1, 32))
    assert (steps_of(torch.zeros(2, 1, 32)) <= TINY).all()
