"""What a step cannot take less than on this device: its bytes over the measured bandwidth, its products over the rate.

Bytes are those of the weights that a step uses, by the arithmetic of `gatehouse size`, with the head in 16 bits, and of
the keys and values that it sees. Nothing is taken off for what a cache might hold.
"""

from __future__ import annotations

from engine.shape import ModelConfig
from engine.size import parameters, weight_bytes

SIXTEEN_BITS = 2


def step_bytes(config: ModelConfig, precision: str, batch: int, context: int, experts_used: float) -> float:
    """What a step of `batch` next tokens reads, each after `context` positions."""
    each = weight_bytes(parameters(config, {}), precision)
    experts = each.pop("experts", 0.0) * experts_used / max(1, config.experts)
    each.pop("embedding")
    head = config.vocabulary * config.hidden * SIXTEEN_BITS
    seen = sum(min(context, layer.chunk or context) for layer in config.layers)
    keys = batch * seen * 2 * config.kv_heads * config.head_dim * SIXTEEN_BITS
    return experts + sum(each.values()) + head + keys


def prompt_flops(config: ModelConfig, tokens: int) -> float:
    """Of a whole prompt, causal attention counted as it is, the head for its last token."""
    counted = parameters(config, {})
    experts = counted.pop("experts", 0) * config.experts_per_token / max(1, config.experts)
    counted.pop("embedding")
    pairs = 0
    for layer in config.layers:
        chunk = layer.chunk or tokens
        whole, rest = divmod(tokens, chunk)
        pairs += whole * chunk * (chunk + 1) // 2 + rest * (rest + 1) // 2
    attention = 4 * config.heads * config.head_dim * pairs
    return 2 * tokens * (experts + sum(counted.values())) + attention + 2 * config.vocabulary * config.hidden
