"""Dense families become the same numbers; what they add is read, what is not computed is refused by key."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import parse_config
from engine.errors import ModelRefused
from engine.shape import LayerConfig, ModelConfig, Multipliers


def raw(architecture: str = "LlamaForCausalLM", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "architectures": [architecture],
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
    }
    return {**values, **changes}


def parsed(architecture: str = "LlamaForCausalLM", **changes: Any) -> ModelConfig:
    return parse_config(raw(architecture, **changes))


def test_a_llama_sees_everything_and_rotates_in_every_layer() -> None:
    found = parsed()

    assert found.layers == (LayerConfig(uses_rope=True, chunk=None, is_moe=False),) * 2
    assert (found.head_dim, found.mlp_width, found.theta, found.norm_eps) == (8, 48, 500000.0, 1e-5)
    assert (found.is_dense_family, found.tied_head, found.qk_norm, found.prefix) == (True, False, False, "")


def test_heads_may_be_wider_than_hidden_over_heads_and_unshared() -> None:
    found = parsed(head_dim=32, num_key_value_heads=None, tie_word_embeddings=True)
    assert (found.head_dim, found.kv_heads, found.tied_head) == (32, 4, True)


def test_what_families_add_is_read() -> None:
    assert parsed("Qwen3ForCausalLM").weighted_qk_norm
    assert parsed("Qwen3ForCausalLM").head_dim == 128
    factors = {"embedding_multiplier": 12.0, "residual_multiplier": 0.2, "logits_scaling": 8.0}
    granite = parsed("GraniteForCausalLM", attention_multiplier=0.5, **factors)
    assert granite.multipliers == Multipliers(12.0, 0.2, 0.125, 0.5)
    assert parsed("GraniteForCausalLM").multipliers.attention == 1.0


def test_a_window_over_all_positions_or_switched_off_is_no_window() -> None:
    parsed("MistralForCausalLM", sliding_window=None)
    parsed("MistralForCausalLM", sliding_window=256)
    parsed("Qwen3ForCausalLM", sliding_window=64, use_sliding_window=False)


@pytest.mark.parametrize(
    ("architecture", "changes", "named"),
    [
        ("LlamaForCausalLM", {"attention_bias": True}, "attention_bias"),
        ("LlamaForCausalLM", {"mlp_bias": True}, "mlp_bias"),
        ("LlamaForCausalLM", {"hidden_act": "gelu"}, "hidden_act"),
        ("LlamaForCausalLM", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
        ("LlamaForCausalLM", {"rope_scaling": {"rope_type": "yarn"}}, "yarn"),
        ("LlamaForCausalLM", {"layer_types": ["sliding_attention"] * 2}, "layer_types"),
        ("MistralForCausalLM", {"max_position_embeddings": 8192}, "sliding_window"),
        ("MistralForCausalLM", {"sliding_window": 64}, "sliding_window"),
        ("Qwen3ForCausalLM", {"sliding_window": 64, "use_sliding_window": True}, "sliding_window"),
        ("Gemma2ForCausalLM", {}, "Gemma2ForCausalLM"),
    ],
)
def test_what_is_not_computed_is_refused_by_key(architecture: str, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        parsed(architecture, **changes)
    assert (caught.value.code, named in caught.value.problem) == ("model_unsupported", True)


@pytest.mark.parametrize("missing", ["vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings"])
def test_a_missing_number_is_named(missing: str) -> None:
    values = raw()
    del values[missing]
    with pytest.raises(ModelRefused, match=missing):
        parse_config(values)
