"""Canvases and token counts are those of the published rules, checked against a second, slow way to say them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.vision.canvas import GRIDS, ONE, Grid, fitted, grid_for

SIZES = st.integers(1, 5000)


def slow(width: int, height: int) -> Grid:
    """In single precision over a table of sizes, as the processors of published checkpoints go about it."""
    table = torch.tensor([(grid.rows * 336, grid.columns * 336) for grid in GRIDS])
    scales = torch.minimum(table[:, 0] / height, table[:, 1] / width)
    enlarging = scales[scales >= 1]
    chosen = table[scales == (enlarging.min() if len(enlarging) else scales.max())]
    rows, columns = (chosen[chosen.prod(dim=1).argmin()] // 336).tolist()
    return Grid(rows, columns)


def test_there_are_fifty_canvases() -> None:
    assert len(GRIDS) == len(set(GRIDS)) == 50


@pytest.mark.parametrize(
    ("size", "canvas", "tokens"),
    [
        ((336, 336), (336, 336), 147),
        ((1, 1), (336, 336), 147),
        ((512, 512), (672, 672), 727),
        ((640, 480), (672, 672), 727),
        ((337, 336), (672, 336), 437),
        ((1024, 768), (1344, 1008), 1887),
        ((1280, 720), (1344, 1008), 1887),
        ((1920, 1080), (1680, 1008), 2322),
        ((7680, 4320), (1680, 1008), 2322),
        ((1344, 1344), (1344, 1344), 2467),
        ((9000, 9000), (1344, 1344), 2467),
        ((5376, 100), (5376, 336), 2467),
    ],
)
def test_known_sizes(size: tuple[int, int], canvas: tuple[int, int], tokens: int) -> None:
    grid = grid_for(*size, 336)
    assert (grid.columns * 336, grid.rows * 336, grid.tokens(144)) == (*canvas, tokens)


@given(SIZES, SIZES)
@settings(max_examples=60)
def test_the_canvas_is_that_of_the_published_processors(width: int, height: int) -> None:
    assert grid_for(width, height, 336) == slow(width, height)


@given(SIZES, SIZES)
@settings(max_examples=60)
def test_a_picture_fits_undistorted_and_is_not_enlarged_beyond_a_tile(width: int, height: int) -> None:
    grid = grid_for(width, height, 336)
    across, down = fitted(width, height, grid, 336)
    assert 1 <= across <= grid.columns * 336
    assert 1 <= down <= grid.rows * 336
    assert max(across / width, down / height) <= max(1.0, 336 / max(width, height))
    if across > 1 and down > 1:
        assert abs(across / down - width / height) <= 2 * max(across, down) / down**2


def test_a_turned_picture_costs_the_same() -> None:
    assert all(
        grid_for(w, h, 336).tokens(144) == grid_for(h, w, 336).tokens(144) for w in (1, 500, 3000) for h in (7, 900)
    )
    assert ONE.tiles == 1
