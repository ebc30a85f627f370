"""Every dialect of config.json becomes the same numbers; what would change the mathematics unseen is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import parse_config, read_config
from engine.errors import ModelRefused


def raw(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "architectures": ["Llama4ForCausalLM"],
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "intermediate_size_mlp": 96,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 4,
        "max_position_embeddings": 256,
        "attention_chunk_size": 16,
    }
    return {**values, **changes}


def refused(**changes: Any) -> ModelRefused:
    with pytest.raises(ModelRefused) as caught:
        parse_config(raw(**changes))
    return caught.value


def rope_layers(**changes: Any) -> list[bool]:
    return [layer.uses_rope for layer in parse_config(raw(**changes)).layers]


def test_every_fourth_layer_has_no_rope_and_sees_everything_by_default() -> None:
    layers = parse_config(raw()).layers

    assert [layer.uses_rope for layer in layers] == [True, True, True, False] * 2
    assert [layer.chunk for layer in layers] == [16, 16, 16, None] * 2
    assert all(layer.is_moe for layer in layers)


def test_nope_layers_as_list_empty_list_and_interval() -> None:
    assert rope_layers(no_rope_layers=[1, 0] * 4) == [True, False] * 4
    assert rope_layers(no_rope_layers=[]) == [True, True, True, False] * 2
    assert rope_layers(no_rope_layer_interval=2) == [True, False] * 4
    assert rope_layers(nope_layer_interval=None) == [True] * 8


def test_no_chunk_size_means_that_all_layers_see_everything() -> None:
    layers = parse_config(raw(attention_chunk_size=None, no_rope_layers=[1] * 8)).layers

    assert {layer.chunk for layer in layers} == {None}


def test_layer_types_decide_about_chunks_whatever_rope_does() -> None:
    layers = parse_config(raw(layer_types=["full_attention", "chunked_attention"] * 4)).layers

    assert [layer.chunk for layer in layers] == [None, 16] * 4


def test_moe_layers_as_list_step_and_none() -> None:
    def moe(**changes: Any) -> list[int]:
        layers = parse_config(raw(**changes)).layers
        return [index for index, layer in enumerate(layers) if layer.is_moe]

    assert moe(moe_layers=[2, 5]) == [2, 5]
    assert moe(interleave_moe_layer_step=2) == [1, 3, 5, 7]
    assert moe(interleave_moe_layer_step=0, moe_layers=[]) == []
    assert moe(num_local_experts=0, interleave_moe_layer_step=0) == []


def test_rope_under_the_new_and_the_old_name() -> None:
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

    new = parse_config(raw(rope_parameters={"rope_type": "llama3", "rope_theta": 5.0, **scaling}))
    old = parse_config(raw(rope_theta=5.0, rope_scaling={"rope_type": "llama3", **scaling}))

    assert new == old
    assert parse_config(raw(rope_theta=7.0, rope_scaling=None)).theta == 7.0
    assert parse_config(raw()).theta == 500_000.0


def test_the_text_part_of_a_multimodal_checkpoint_is_read() -> None:
    nested = {"architectures": ["Llama4ForConditionalGeneration"], "text_config": raw(), "vision_config": {}}

    found = parse_config(nested)

    assert found.prefix == "language_model."
    assert found.layers == parse_config(raw()).layers


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "model_unsupported", "GPT2LMHeadModel"),
        ({"architectures": None}, "model_unsupported", "architectures"),
        ({"hidden_act": "gelu"}, "model_unsupported", "hidden_act"),
        ({"attention_bias": True}, "model_unsupported", "attention_bias"),
        ({"quantization_config": {"bits": 4}}, "model_unsupported", "quantization_config"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "model_unsupported", "yarn"),
        ({"num_key_value_heads": 3}, "config_invalid", "num_key_value_heads"),
        ({"num_experts_per_tok": 5}, "config_invalid", "num_experts_per_tok"),
        ({"no_rope_layers": [1]}, "config_invalid", "no_rope_layers"),
        ({"layer_types": ["sliding"] * 8}, "config_invalid", "layer_types"),
        ({"vocab_size": "many"}, "config_invalid", "vocab_size"),
        ({"vocab_size": None}, "config_invalid", "vocab_size"),
        ({"vocab_size": float("inf")}, "config_invalid", "vocab_size"),
        ({"num_hidden_layers": 10**9}, "config_invalid", "num_hidden_layers"),
        ({"num_attention_heads": 0}, "config_invalid", "num_attention_heads"),
        ({"attention_chunk_size": -1}, "config_invalid", "attention_chunk_size"),
        ({"no_rope_layer_interval": -1}, "config_invalid", "no_rope_layer_interval"),
        ({"moe_layers": [8]}, "config_invalid", "moe_layers"),
        ({"floor_scale": 0}, "config_invalid", "floor_scale"),
        ({"rope_theta": float("nan")}, "config_invalid", "rope_theta"),
        ({"rope_parameters": [1]}, "config_invalid", "rope_parameters"),
        ({"use_qk_norm": "false"}, "config_invalid", "use_qk_norm"),
        ({"text_config": [None]}, "config_invalid", "text_config"),
        ({"text_config": raw(), "vision_config": 5}, "config_invalid", "vision_config"),
        ({"quantization_config": {"quant_method": "fp8", "config_groups": [1]}}, "config_invalid", "config_groups"),
        ({"hidden_size": 0}, "config_invalid", "hidden"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(changes: dict[str, Any], code: str, named: str) -> None:
    error = refused(**changes)

    assert error.code == code
    assert named in error.problem


ODD = st.sampled_from(
    [None, 0, -1, 1.5, 1e308, float("inf"), float("nan"), True, "", "4", [], [1], [None], {}, {"a": 1}]
)
NAMES = sorted({*raw(), "architectures", "text_config", "vision_config", "layer_types", "moe_layers", "no_rope_layers"})


@given(changes=st.dictionaries(st.sampled_from(NAMES), ODD, min_size=1, max_size=3))
def test_whatever_a_file_states_it_is_a_model_or_a_refusal(changes: dict[str, Any]) -> None:
    """Anything else would look as if starting the host again could help."""
    with contextlib.suppress(ModelRefused):
        parse_config(raw(**changes))


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelRefused):
        read_config(tmp_path)
