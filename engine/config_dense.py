"""config.json of the dense decoder families: Llama 2 and 3, Mistral, Qwen 3, Granite.

They share one forward pass: full attention, half-split rotary positions, gated feed-forwards. What a family adds
(Qwen's norm of queries and keys, Granite's constant factors) is read here; what this version does not compute
(biases, sliding windows, other activations) is refused by the name of its key.
"""

from __future__ import annotations

from engine.config_shared import Raw, read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.shape import LayerConfig, ModelConfig, Multipliers

MISTRAL, QWEN, GRANITE = "MistralForCausalLM", "Qwen3ForCausalLM", "GraniteForCausalLM"
DENSE_ARCHITECTURES = ("LlamaForCausalLM", MISTRAL, QWEN, GRANITE)
DEFAULT_THETA = 10_000.0
QWEN_HEAD_DIM = 128
DEFAULT_MISTRAL_WINDOW = 4096
"""Both are what transformers assumes where a configuration does not say."""
NEUTRAL = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


def parse_dense(architecture: str, raw: Raw) -> ModelConfig:
    """ModelRefused, KeyError, TypeError or ValueError when the values do not describe such a model."""
    refuse_unless_neutral(raw, NEUTRAL)
    _refuse_sliding(architecture, raw)
    theta, scaling = read_rope(raw, DEFAULT_THETA)
    heads, hidden, is_qwen = int(raw["num_attention_heads"]), int(raw["hidden_size"]), architecture == QWEN
    return ModelConfig(
        vocabulary=int(raw["vocab_size"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or (QWEN_HEAD_DIM if is_qwen else hidden // heads)),
        expert_width=0,
        mlp_width=int(raw["intermediate_size"]),
        experts=0,
        experts_per_token=0,
        max_positions=int(raw["max_position_embeddings"]),
        norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
        qk_norm=False,
        temperature_tuning=False,
        floor_scale=1.0,
        attn_scale=0.0,
        theta=theta,
        rope_scaling=scaling,
        tied_head=bool(raw.get("tie_word_embeddings", False)),
        layers=(LayerConfig(uses_rope=True, chunk=None, is_moe=False),) * int(raw["num_hidden_layers"]),
        prefix="",
        is_dense_family=True,
        weighted_qk_norm=is_qwen,
        multipliers=_multipliers(raw) if architecture == GRANITE else Multipliers(),
    )


def _multipliers(raw: Raw) -> Multipliers:
    return Multipliers(
        embedding=float(raw.get("embedding_multiplier", 1.0)),
        residual=float(raw.get("residual_multiplier", 1.0)),
        logits=1.0 / float(raw.get("logits_scaling", 1.0)),
        attention=float(raw.get("attention_multiplier", 1.0)),
    )


def _refuse_sliding(architecture: str, raw: Raw) -> None:
    """A window over all positions is no window; Qwen states one and switches it off."""
    kinds = set(raw.get("layer_types") or ()) - {"full_attention"}
    if kinds:
        raise ModelRefused("model_unsupported", "`layer_types` is not all `full_attention`, which is not computed here")
    window = raw.get("sliding_window", DEFAULT_MISTRAL_WINDOW if architecture == MISTRAL else None)
    in_use = bool(raw.get("use_sliding_window", False)) if architecture == QWEN else window is not None
    if in_use and (window is None or int(window) < int(raw["max_position_embeddings"])):
        raise ModelRefused("model_unsupported", f"`sliding_window` is {window}, this version computes full attention")
