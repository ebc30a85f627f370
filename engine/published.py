"""The shapes of models that are published under Meta's licence, so that `gatehouse size` needs no files to answer.

Each is its checkpoint's config.json as far as memory depends on it, read by the same code as a checkpoint's. What the
makers changed since is not known here: with the files at hand, name their directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_VISION: Final = {
    "num_hidden_layers": 34,
    "hidden_size": 1408,
    "num_attention_heads": 16,
    "intermediate_size": 5632,
    "patch_size": 14,
    "image_size": 336,
    "num_channels": 3,
    "projector_input_dim": 4096,
    "projector_output_dim": 4096,
    "vision_output_dim": 4096,
    "pixel_shuffle_ratio": 0.5,
}
_TEXT: Final = {
    "vocab_size": 202_048,
    "hidden_size": 5120,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 8192,
    "intermediate_size_mlp": 16_384,
    "num_experts_per_tok": 1,
    "attention_chunk_size": 8192,
    "no_rope_layer_interval": 4,
    "rope_theta": 500_000.0,
}


def _llama4(**text: object) -> Mapping[str, Any]:
    nested = {**_TEXT, **text}
    return {
        "architectures": ["Llama4ForConditionalGeneration"],
        "text_config": nested,
        "vision_config": _VISION,
    }


PUBLISHED: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "scout": _llama4(num_local_experts=16, interleave_moe_layer_step=1, max_position_embeddings=10_485_760),
        "maverick": _llama4(
            num_local_experts=128, interleave_moe_layer_step=2, max_position_embeddings=1_048_576, use_qk_norm=False
        ),
        "llama-guard-4": _llama4(
            num_local_experts=0,
            intermediate_size_mlp=8192,
            attention_chunk_size=None,
            no_rope_layer_interval=0,
            max_position_embeddings=131_072,
        ),
        "llama-guard-3-8b": {
            "architectures": ["LlamaForCausalLM"],
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 14_336,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-5,
        },
    }
)
