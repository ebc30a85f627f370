"""Rotary positions under all their names, and values that have to be neutral."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config_shared import read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.stated import Stated

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def test_theta_is_found_wherever_it_stands() -> None:
    assert read_rope(Stated({}), 10.0) == (10.0, None)
    assert read_rope(Stated({"rope_theta": 7.0}), 10.0) == (7.0, None)
    assert read_rope(Stated({"rope_theta": 7.0, "rope_parameters": {"rope_theta": 5.0}}), 10.0) == (5.0, None)


def test_scaling_without_its_original_length_takes_the_models() -> None:
    _, stated = read_rope(Stated({"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 64}}), 1.0)
    _, implied = read_rope(Stated({"rope_scaling": LLAMA3, "max_position_embeddings": 512}), 1.0)
    assert stated is not None
    assert implied is not None
    assert (stated.original_positions, implied.original_positions) == (64, 512)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ],
)
def test_other_rotations_are_refused(raw: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelRefused, match=named):
        read_rope(Stated(raw), 1.0)


def test_absent_null_and_neutral_are_alike() -> None:
    for raw in ({}, {"bias": None}, {"bias": False}):
        refuse_unless_neutral(raw, {"bias": False})
    with pytest.raises(ModelRefused, match="bias"):
        refuse_unless_neutral({"bias": True}, {"bias": False})
