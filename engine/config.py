"""A checkpoint's config.json as the numbers our forward pass needs, or a refusal that names the key.

Llama 4 is described in several dialects: text part alone or nested, RoPE parameters under two names, NoPE layers as a
list or an interval, `null` for a chunk size that means "attend to everything" (Llama Guard 4 is published so). All
become one ModelConfig here, so that the model code has no defaults to guess. A value that would change the
mathematics in a way this version does not compute is refused; ignoring it would give plausible wrong answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.config_dense import DENSE_ARCHITECTURES, parse_dense
from engine.config_shared import Raw, check_method, read_object, read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.shape import LayerConfig, ModelConfig, wrong
from engine.vision.shape import parse_vision

TEXT_ARCHITECTURES = ("Llama4ForCausalLM", "Llama4ForConditionalGeneration")
DEFAULT_THETA = 500_000.0
NEUTRAL = {"hidden_act": "silu", "attention_bias": False}


def read_config(directory: Path) -> ModelConfig:
    """ModelRefused with code `config_invalid` or `model_unsupported`."""
    return parse_config(read_object(directory / "config.json"))


def parse_config(raw: Raw) -> ModelConfig:
    architecture = next(iter(raw.get("architectures") or ()), None)
    try:
        check_method(raw)
        if architecture in DENSE_ARCHITECTURES:
            return parse_dense(str(architecture), raw)
        if architecture not in TEXT_ARCHITECTURES:
            known = ", ".join((*TEXT_ARCHITECTURES, *DENSE_ARCHITECTURES))
            raise ModelRefused("model_unsupported", f"`architectures` is `{architecture}`, this version runs {known}")
        nested = raw.get("text_config")
        text: Raw = nested if nested is not None else raw
        check_method(text)
        refuse_unless_neutral(text, NEUTRAL)
        vision = parse_vision(raw["vision_config"]) if nested is not None and raw.get("vision_config") else None
        return replace(_from_text(text, "language_model." if nested is not None else ""), vision=vision)
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelRefused("config_invalid", f"config.json has a missing or mistyped value: {exc}") from exc


def _from_text(raw: Raw, prefix: str) -> ModelConfig:
    theta, scaling = read_rope(raw, DEFAULT_THETA)
    heads, hidden = int(raw["num_attention_heads"]), int(raw["hidden_size"])
    return ModelConfig(
        vocabulary=int(raw["vocab_size"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or hidden // heads),
        expert_width=int(raw.get("intermediate_size") or 0),
        mlp_width=int(raw.get("intermediate_size_mlp") or raw["intermediate_size"]),
        experts=int(raw.get("num_local_experts") or 0),
        experts_per_token=int(raw.get("num_experts_per_tok") or 1),
        max_positions=int(raw["max_position_embeddings"]),
        norm_eps=float(raw.get("rms_norm_eps", 1e-5)),
        qk_norm=bool(raw.get("use_qk_norm", True)),
        temperature_tuning=bool(raw.get("attn_temperature_tuning", True)),
        floor_scale=float(raw.get("floor_scale", 8192)),
        attn_scale=float(raw.get("attn_scale", 0.1)),
        theta=theta,
        rope_scaling=scaling,
        tied_head=bool(raw.get("tie_word_embeddings", False)),
        layers=_layers(raw),
        prefix=prefix,
    )


def _layers(raw: Raw) -> tuple[LayerConfig, ...]:
    count = int(raw["num_hidden_layers"])
    rope = _uses_rope(raw, count)
    chunk = raw.get("attention_chunk_size", 8192)
    kinds = raw.get("layer_types") or ["chunked_attention" if uses else "full_attention" for uses in rope]
    if len(kinds) < count or not set(kinds) <= {"chunked_attention", "full_attention"}:
        raise wrong("layer_types", "of another length or kind", f"{count} of chunked_attention or full_attention")
    moe = _moe_layers(raw, count)
    return tuple(
        LayerConfig(
            uses_rope=rope[index],
            chunk=int(chunk) if chunk and kinds[index] == "chunked_attention" else None,
            is_moe=index in moe,
        )
        for index in range(count)
    )


def _uses_rope(raw: Raw, count: int) -> list[bool]:
    """`no_rope_layers` holds 1 where RoPE is used, despite its name; empty means: take the interval."""
    stated: Sequence[int] | None = raw.get("no_rope_layers")
    if stated:
        if len(stated) < count:
            raise wrong("no_rope_layers", f"{len(stated)} entries", f"{count} entries")
        return [bool(one) for one in stated[:count]]
    interval = raw.get("no_rope_layer_interval", raw.get("nope_layer_interval", 4))
    return [not interval or (index + 1) % int(interval) != 0 for index in range(count)]


def _moe_layers(raw: Raw, count: int) -> frozenset[int]:
    if not raw.get("num_local_experts"):
        return frozenset()
    stated: Sequence[int] | None = raw.get("moe_layers")
    if stated is not None:
        return frozenset(int(index) for index in stated)
    step = int(raw.get("interleave_moe_layer_step", 1))
    return frozenset(range(step - 1, count, step)) if step else frozenset()
