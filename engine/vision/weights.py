"""The tensors of `vision_model` and `multi_modal_projector`, each accounted for like those of the text model.

They keep all their bits whatever the text model's precision is: what few bits blur here no later layer sees again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.device import CPU
from engine.errors import ModelRefused
from engine.reduced import DenseLinear
from engine.shards import UNSERVED, Shards
from engine.vision.shape import VisionConfig

ENCODER, PROJECTOR = UNSERVED


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm's scale and offset."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class SeeingLayer:
    """One layer of the encoder."""

    input_norm: Norm
    qkv: nn.Module
    out: nn.Module
    post_norm: Norm
    widen: nn.Module
    """With its GELU."""
    narrow: nn.Module


@dataclass(frozen=True, slots=True)
class VisionWeights:
    """All parameters that lead from pixels to the text model's embeddings."""

    patches: nn.Module
    class_D: Tensor
    places_pD: Tensor
    before: Norm
    layers: tuple[SeeingLayer, ...]
    after: Norm
    adapter_in: nn.Module
    adapter_out: nn.Module
    projector: nn.Module


def has_vision(directory: Path) -> bool:
    """Whether the files hold any of it."""
    with Shards(directory, torch.float32) as shards:
        return bool(shards.unserved())


def load_vision(
    directory: Path, config: VisionConfig, text_hidden: int, dtype: torch.dtype, device: torch.device = CPU
) -> VisionWeights:
    """Read everything, or ModelRefused with what differs from the configuration."""
    D, A, tokens = config.hidden, config.adapter_width, config.across**2
    with Shards(directory, dtype, device=device) as shards:
        taker = _Taker(shards, dtype)
        weights = VisionWeights(
            patches=taker.linear(ENCODER + "patch_embedding.linear", D, 3 * config.patch**2, biased=False),
            class_D=shards.take(ENCODER + "class_embedding", D),
            places_pD=shards.take(ENCODER + "positional_embedding_vlm", tokens + 1, D),
            before=taker.norm(ENCODER + "layernorm_pre", D),
            layers=tuple(_layer(taker, f"{ENCODER}model.layers.{one}.", config) for one in range(config.layers)),
            after=taker.norm(ENCODER + "layernorm_post", D),
            adapter_in=taker.linear(
                ENCODER + "vision_adapter.mlp.fc1", A, D * config.shrink**2, biased=False, gelu=True
            ),
            adapter_out=taker.linear(ENCODER + "vision_adapter.mlp.fc2", A, A, biased=False, gelu=True),
            projector=taker.linear(PROJECTOR + "linear_1", text_hidden, A, biased=False),
        )
        rest = sorted(shards.unserved())
    if rest:
        raise ModelRefused("weights_mismatch", f"unexpected tensor `{rest[0]}` and {len(rest) - 1} more")
    return weights


def _layer(taker: _Taker, name: str, config: VisionConfig) -> SeeingLayer:
    D, F = config.hidden, config.mlp_width
    return SeeingLayer(
        input_norm=taker.norm(name + "input_layernorm", D),
        qkv=taker.joined([f"{name}self_attn.{one}_proj" for one in "qkv"], D, D),
        out=taker.linear(name + "self_attn.o_proj", D, D),
        post_norm=taker.norm(name + "post_attention_layernorm", D),
        widen=taker.linear(name + "mlp.fc1", F, D, gelu=True),
        narrow=taker.linear(name + "mlp.fc2", D, F),
    )


class _Taker:
    """Tensors as the layers that they are for."""

    def __init__(self, shards: Shards, dtype: torch.dtype) -> None:
        self._shards, self._dtype = shards, dtype

    def norm(self, name: str, size: int) -> Norm:
        return Norm(self._shards.take(name + ".weight", size), self._shards.take(name + ".bias", size))

    def linear(self, name: str, out: int, into: int, biased: bool = True, gelu: bool = False) -> nn.Module:
        weight_oi = self._shards.take(name + ".weight", out, into)
        bias_o = self._shards.take(name + ".bias", out) if biased else weight_oi.new_zeros(out)
        return DenseLinear(weight_oi, bias_o, self._dtype, self._dtype, gelu)

    def joined(self, names: list[str], out: int, into: int) -> nn.Module:
        """Projections that read the same input, one below the other."""
        weight_oi = torch.cat([self._shards.take(name + ".weight", out, into) for name in names])
        bias_o = torch.cat([self._shards.take(name + ".bias", out) for name in names])
        return DenseLinear(weight_oi, bias_o, self._dtype, self._dtype)
