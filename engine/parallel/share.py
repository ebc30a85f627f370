"""Which part of each layer one of several processes has.

Attention is divided by heads, feed-forwards by width, each expert like the others: what a process reads for a token is
the same part everywhere, whichever experts are chosen. Each ends a layer's half with a part of a sum, and the sum over
all processes is what one process alone would have computed. Norms, router, embedding and head are not divided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from engine.errors import ModelRefused
from engine.shape import ModelConfig


@dataclass(frozen=True, slots=True)
class Share:
    """The part of number `rank` of `world` equal ones."""

    rank: int = 0
    world: int = 1

    def of(self, tensor: Tensor, axis: int) -> Tensor:
        """A view of the part along one axis, whose length `divided` has checked."""
        length = tensor.shape[axis] // self.world
        return tensor.narrow(axis, self.rank * length, length)

    def of_halves(self, columns_of: Tensor) -> list[Tensor]:
        """The part of each half of the columns: a gate and what it opens lie behind one another."""
        return [columns_of] if self.world == 1 else [self.of(half, 1) for half in columns_of.chunk(2, dim=1)]


WHOLE = Share()


def divided(config: ModelConfig, world: int) -> ModelConfig:
    """The shape that each process computes. ModelRefused when it cannot be divided so."""
    parts = {"num_attention_heads": config.heads, "num_key_value_heads": config.kv_heads}
    if any(not layer.is_moe for layer in config.layers):
        parts["the width of a feed-forward"] = config.mlp_width
    if any(layer.is_moe for layer in config.layers):
        parts["the width of an expert"] = config.expert_width
    for what, size in parts.items():
        if size % world:
            told = f"{what} is {size}, which {world} processes cannot divide evenly"
            raise ModelRefused("parallel_unsupported", told)
    return replace(
        config,
        heads=config.heads // world,
        kv_heads=config.kv_heads // world,
        mlp_width=config.mlp_width // world,
        expert_width=config.expert_width // world,
    )
