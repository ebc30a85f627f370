"""A checkpoint's config.json as the numbers our forward pass needs, or a refusal that names the key.

Llama 4 is described in several dialects: text part alone or nested, RoPE parameters under two names, NoPE layers as a
list or an interval, `null` for a chunk size that means "attend to everything" (Llama Guard 4 is published so). All
become one ModelConfig here, so that the model code has no defaults to guess. A value that would change the
mathematics in a way this version does not compute is refused; ignoring it would give plausible wrong answers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.config_dense import DENSE_ARCHITECTURES, parse_dense
from engine.config_shared import check_method, read_object, read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.shape import MOST_LAYERS, LayerConfig, ModelConfig
from engine.stated import Raw, Stated, wrong
from engine.vision.shape import parse_vision

TEXT_ARCHITECTURES = ("Llama4ForCausalLM", "Llama4ForConditionalGeneration")
DEFAULT_THETA, DEFAULT_CHUNK, DEFAULT_INTERVAL = 500_000.0, 8192, 4
"""What transformers assumes where a configuration does not say."""
NEUTRAL = {"hidden_act": "silu", "attention_bias": False}


def read_config(directory: Path) -> ModelConfig:
    """ModelRefused with code `config_invalid` or `model_unsupported`."""
    return parse_config(read_object(directory / "config.json"))


def parse_config(raw: Raw) -> ModelConfig:
    """ModelRefused as above, whatever JSON object it is."""
    architectures = raw.get("architectures")
    architecture = architectures[0] if isinstance(architectures, list) and architectures else None
    check_method(raw)
    if architecture in DENSE_ARCHITECTURES:
        return parse_dense(architecture, Stated(raw))
    if architecture not in TEXT_ARCHITECTURES:
        known = ", ".join((*TEXT_ARCHITECTURES, *DENSE_ARCHITECTURES))
        raise ModelRefused("model_unsupported", f"`architectures` is `{architecture}`, this version runs {known}")
    if raw.get("text_config") is None:
        return _from_text(Stated(raw), "")
    text = Stated(raw["text_config"], "text_config")
    check_method(text.raw)
    vision = parse_vision(Stated(raw["vision_config"], "vision_config")) if raw.get("vision_config") else None
    return replace(_from_text(text, "language_model."), vision=vision)


def _from_text(stated: Stated, prefix: str) -> ModelConfig:
    refuse_unless_neutral(stated.raw, NEUTRAL)
    theta, scaling = read_rope(stated, DEFAULT_THETA)
    heads, hidden, width = (stated.whole(key) for key in ("num_attention_heads", "hidden_size", "intermediate_size"))
    return ModelConfig(
        vocabulary=stated.whole("vocab_size"),
        hidden=hidden,
        heads=heads,
        kv_heads=stated.whole("num_key_value_heads", heads),
        head_dim=stated.whole("head_dim", hidden // heads),
        expert_width=width,
        mlp_width=stated.whole("intermediate_size_mlp", width),
        experts=stated.whole("num_local_experts", 0, low=0),
        experts_per_token=stated.whole("num_experts_per_tok", 1, low=0),
        max_positions=stated.whole("max_position_embeddings"),
        norm_eps=stated.number("rms_norm_eps", 1e-5, 0),
        qk_norm=stated.flag("use_qk_norm", True),
        temperature_tuning=stated.flag("attn_temperature_tuning", True),
        floor_scale=stated.number("floor_scale", 8192, 0, is_above=True),
        attn_scale=stated.number("attn_scale", 0.1),
        theta=theta,
        rope_scaling=scaling,
        tied_head=stated.flag("tie_word_embeddings", False),
        layers=_layers(stated),
        prefix=prefix,
    )


def _layers(stated: Stated) -> tuple[LayerConfig, ...]:
    count = stated.whole("num_hidden_layers", high=MOST_LAYERS)
    rope, moe = _uses_rope(stated, count), _moe_layers(stated, count)
    # Llama Guard 4 is published with `null`, which says that everything is seen.
    chunk = None
    if not stated.is_null("attention_chunk_size"):
        chunk = stated.whole("attention_chunk_size", DEFAULT_CHUNK, low=0) or None
    kinds = stated.raw.get("layer_types") or ["chunked_attention" if uses else "full_attention" for uses in rope]
    is_known = isinstance(kinds, list) and all(one in ("chunked_attention", "full_attention") for one in kinds)
    if not is_known or len(kinds) < count:
        told = f"{count} of chunked_attention or full_attention"
        raise wrong(stated.name("layer_types"), "of another length or kind", told)
    return tuple(
        LayerConfig(rope[index], chunk if kinds[index] == "chunked_attention" else None, is_moe=index in moe)
        for index in range(count)
    )


def _uses_rope(stated: Stated, count: int) -> list[bool]:
    """`no_rope_layers` holds 1 where RoPE is used, despite its name; empty means: take the interval."""
    listed = stated.raw.get("no_rope_layers")
    if listed:
        if not isinstance(listed, list) or len(listed) < count:
            raise wrong(stated.name("no_rope_layers"), "of another kind or too short", f"a list of {count} entries")
        return [bool(one) for one in listed[:count]]
    named = [key for key in ("no_rope_layer_interval", "nope_layer_interval") if key in stated.raw]
    interval = stated.whole(named[0], 0, low=0) if named else DEFAULT_INTERVAL
    return [not interval or (index + 1) % interval != 0 for index in range(count)]


def _moe_layers(stated: Stated, count: int) -> frozenset[int]:
    if not stated.raw.get("num_local_experts"):
        return frozenset()
    listed = stated.wholes("moe_layers", 0, count - 1)
    if listed is not None:
        return frozenset(listed)
    step = stated.whole("interleave_moe_layer_step", 1, low=0)
    return frozenset(range(step - 1, count, step)) if step else frozenset()
