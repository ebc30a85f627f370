"""How much fits into what memory, and that a lane is warm before anybody asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import ModelRefused
from engine.generator import load_generator
from engine.lanes import capacity_for
from engine.options import Options
from tests.engine import tiny
from tests.engine.stand_ins import small_config


def test_capacity_follows_from_memory_and_bounds_a_request(tmp_path: Path) -> None:
    tiny.llama4(tmp_path)
    per_position = 2 * 4 * 2 * 8 * 4

    # Two rows of 16 positions in all layers: the full layer gets five, because the chunked ones stay with one.
    for kept_as, size in (("auto", 1), ("int8", (8 + 2) / (4 * 8)), ("fp8", (8 + 2) / (4 * 8))):
        kv_bytes = int(per_position * 32 * size)
        assert load_generator(tmp_path, Options(kv_bytes=kv_bytes, kv_precision=kept_as)).lane.max_model_len == 80
    assert capacity_for(small_config(), 16 * 16) == 16
    assert capacity_for(small_config(), 16 * 16, torch.bfloat16) == 32
    assert capacity_for(small_config(), 16 * 16, torch.float32, "int8") == 32
    with pytest.raises(ModelRefused):
        capacity_for(small_config(), 16 * 16 - 1)


def test_without_a_stated_size_the_usual_length_fits_whatever_a_position_needs() -> None:
    thin, wide = small_config(), small_config(head_dim=4096, kv_heads=2, max_positions=100_000)
    assert capacity_for(thin, 0) * thin.values_per_position * 4 == 1024**3
    assert capacity_for(wide, 0) * wide.values_per_position * 4 == 1024**3
    assert capacity_for(replace(wide, layers=wide.layers * 40), 0) == 8192


def test_a_lane_has_computed_and_holds_nothing_of_it(tmp_path: Path) -> None:
    tiny.dense(tmp_path)
    lane = load_generator(tmp_path, Options(kv_bytes=1_000_000)).lane
    assert (lane.pending, lane.reserved, lane.cache.held, lane.cache.kept) == (0, 0, 0, 0)
    assert lane.counters.steps == 0
