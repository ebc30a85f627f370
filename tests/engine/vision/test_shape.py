"""What config.json says of seeing becomes numbers, or a refusal that names the key."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import parse_config
from engine.errors import ModelRefused
from engine.published import PUBLISHED
from engine.stated import Stated
from engine.vision.shape import VisionConfig, parse_vision
from tests.engine.vision.seeing import VISION


def test_the_published_encoder_makes_144_tokens_of_a_tile() -> None:
    vision = parse_config({**PUBLISHED["scout"]}).vision
    assert vision is not None
    assert (vision.layers, vision.hidden, vision.across, vision.tokens, vision.theta) == (34, 1408, 24, 144, 10_000.0)


def test_sides_may_be_given_twice() -> None:
    vision: VisionConfig = parse_vision(Stated({**VISION, "image_size": [16, 16]}))
    assert vision == parse_vision(Stated(VISION))
    assert (vision.side, vision.patch, vision.shrink, vision.tokens) == (16, 4, 2, 4)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_act": "relu"},
        {"norm_eps": 1e-6},
        {"num_channels": 4},
        {"pixel_shuffle_ratio": 0.4},
        {"image_size": [16, 32]},
        {"image_size": 20},
        {"intermediate_size": 32},
        {"projector_input_dim": 20},
        {"vision_output_dim": 20},
        {"num_attention_heads": 3},
        {"num_hidden_layers": 0},
        {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 64}},
    ],
)  # fmt: skip
def test_what_is_not_computed_or_does_not_fit_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ModelRefused) as caught:
        parse_vision(Stated({**VISION, **changed}, "vision_config"))
    assert caught.value.code in ("config_invalid", "model_unsupported")
    assert "vision_config" in caught.value.problem or next(iter(changed)) in caught.value.problem


def test_a_missing_size_is_named() -> None:
    raw = {key: value for key, value in VISION.items() if key != "patch_size"}
    with pytest.raises(ModelRefused, match="patch_size"):
        parse_config({**PUBLISHED["scout"], "vision_config": raw})
