"""config.json of the dense decoder families: Llama 2 and 3, Mistral, Qwen 3, Granite.

They share one forward pass: full attention, half-split rotary positions, gated feed-forwards. What a family adds
(Qwen's norm of queries and keys, Granite's constant factors) is read here; what this version does not compute
(biases, sliding windows, other activations) is refused by the name of its key.
"""

from __future__ import annotations

from engine.config_shared import read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.shape import MOST_LAYERS, LayerConfig, ModelConfig, Multipliers
from engine.stated import Stated

MISTRAL, QWEN, GRANITE = "MistralForCausalLM", "Qwen3ForCausalLM", "GraniteForCausalLM"
DENSE_ARCHITECTURES = ("LlamaForCausalLM", MISTRAL, QWEN, GRANITE)
DEFAULT_THETA = 10_000.0
QWEN_HEAD_DIM = 128
DEFAULT_MISTRAL_WINDOW = 4096
"""The last three are what transformers assumes where a configuration does not say."""
NEUTRAL = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


def parse_dense(architecture: str, stated: Stated) -> ModelConfig:
    """ModelRefused when the values do not describe such a model."""
    refuse_unless_neutral(stated.raw, NEUTRAL)
    _refuse_sliding(architecture, stated)
    theta, scaling = read_rope(stated, DEFAULT_THETA)
    heads, hidden, is_qwen = stated.whole("num_attention_heads"), stated.whole("hidden_size"), architecture == QWEN
    layer = LayerConfig(uses_rope=True, chunk=None, is_moe=False)
    return ModelConfig(
        vocabulary=stated.whole("vocab_size"),
        hidden=hidden,
        heads=heads,
        kv_heads=stated.whole("num_key_value_heads", heads),
        head_dim=stated.whole("head_dim", QWEN_HEAD_DIM if is_qwen else hidden // heads),
        expert_width=0,
        mlp_width=stated.whole("intermediate_size"),
        experts=0,
        experts_per_token=0,
        max_positions=stated.whole("max_position_embeddings"),
        norm_eps=stated.number("rms_norm_eps", 1e-6, 0),
        qk_norm=False,
        temperature_tuning=False,
        floor_scale=1.0,
        attn_scale=0.0,
        theta=theta,
        rope_scaling=scaling,
        tied_head=stated.flag("tie_word_embeddings", False),
        layers=(layer,) * stated.whole("num_hidden_layers", high=MOST_LAYERS),
        prefix="",
        is_dense_family=True,
        weighted_qk_norm=is_qwen,
        multipliers=_multipliers(stated) if architecture == GRANITE else Multipliers(),
    )


def _multipliers(stated: Stated) -> Multipliers:
    return Multipliers(
        embedding=stated.number("embedding_multiplier", 1.0),
        residual=stated.number("residual_multiplier", 1.0),
        logits=1.0 / stated.number("logits_scaling", 1.0, 0, is_above=True),
        attention=stated.number("attention_multiplier", 1.0),
    )


def _refuse_sliding(architecture: str, stated: Stated) -> None:
    """A window over all positions is no window; Qwen states one and switches it off."""
    kinds = stated.raw.get("layer_types") or ()
    if any(one != "full_attention" for one in kinds):
        raise ModelRefused("model_unsupported", "`layer_types` is not all `full_attention`, which is not computed here")
    is_stated = not stated.is_null("sliding_window") and (architecture == MISTRAL or "sliding_window" in stated.raw)
    window = stated.whole("sliding_window", DEFAULT_MISTRAL_WINDOW) if is_stated else None
    in_use = stated.flag("use_sliding_window", False) if architecture == QWEN else window is not None
    if in_use and (window is None or window < stated.whole("max_position_embeddings")):
        raise ModelRefused("model_unsupported", f"`sliding_window` is {window}, this version computes full attention")
