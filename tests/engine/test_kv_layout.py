"""Blocks are shared out so that chunked layers cost one chunk, and every layer has a place of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import parse_config
from engine.kv_layout import Home, Layout, layout_of
from engine.published import PUBLISHED
from engine.shape import LayerConfig, ModelConfig
from engine.size import kv_of
from tests.engine.stand_ins import small_config


def mixed(full: int, chunked: int, chunk: int = 16, **changes: object) -> ModelConfig:
    kinds = [None] * full + [chunk] * chunked
    layers = tuple(LayerConfig(uses_rope=True, chunk=kind, is_moe=True) for kind in kinds)
    return small_config(layers=layers, **changes)


@pytest.mark.parametrize(("positions", "gigabytes"), [(2**13, 1.6), (2**17, 7.7), (2**20, 52.7), (10 * 2**20, 516.6)])
def test_scout_needs_what_its_table_says(positions: int, gigabytes: float) -> None:
    config = parse_config(PUBLISHED["scout"])
    layout = layout_of(config)
    assert (layout.depth, layout.full, layout.chunked, layout.chunk) == (12, 1, 3, 8192)
    block_bytes = 2 * layout.depth * config.kv_heads * config.head_dim * 2 * layout.block

    assert layout.needed(positions) * block_bytes / 1e9 == pytest.approx(gigabytes, abs=0.05)
    assert layout.needed(positions) * block_bytes == kv_of(config, "bf16").bytes_for(positions, hybrid=True)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 40), st.integers(1, 8), st.integers(0, 400))
def test_the_longest_text_fits_and_a_longer_one_does_not(
    full: int, chunked: int, chunk: int, block: int, blocks: int
) -> None:
    layout = layout_of(mixed(max(full, 0 if chunked else 1), chunked, chunk, max_positions=10_000), block)
    longest = layout.longest(blocks)
    assert layout.needed(longest) <= blocks
    if layout.full:
        assert layout.needed(longest + 1) > blocks


@given(st.integers(0, 9), st.integers(1, 9))
def test_no_two_layers_share_a_place(full: int, chunked: int) -> None:
    layout = layout_of(mixed(full, chunked))
    assert len(set(layout.homes)) == full + chunked
    assert layout.units * layout.depth == full + chunked
    assert all(home.row < layout.depth for home in layout.homes)


def test_a_chunk_that_no_text_outgrows_is_none() -> None:
    layout = layout_of(mixed(1, 3, chunk=64, max_positions=64))
    assert (layout.depth, layout.full, layout.chunked, layout.chunk) == (4, 1, 0, 0)
    assert layout.next_border(7) is None
    assert layout.border(63) == 0


def test_borders_lie_at_multiples_of_the_chunk() -> None:
    layout: Layout = layout_of(mixed(1, 1))
    assert [layout.border(at) for at in (0, 15, 16, 33)] == [0, 0, 16, 32]
    assert [layout.next_border(at) for at in (0, 15, 16)] == [16, 16, 32]


def test_what_is_made_for_layers_is_made_once_for_those_in_the_same_blocks() -> None:
    layout, asked = layout_of(mixed(2, 4)), list[tuple[bool, int]]()

    def made(home: Home) -> tuple[bool, int]:
        asked.append((home.is_chunked, home.unit))
        return asked[-1]

    found = layout.for_layers(made)
    assert found == [((home.is_chunked, home.unit), home.row) for home in layout.homes]
    assert len(asked) == len(set(asked)) == layout.units
