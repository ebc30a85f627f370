"""The decoder as one function over a packed batch: Llama 4 with its variants, and the dense Llama family.

Tokens of all sequences lie behind one another; positions say where each stands in its own sequence. RoPE, attention
temperature and chunk borders come from those positions. Head and logits are fp32 whatever the layers compute in.

Shapes: t tokens, D hidden, h heads, k key-value heads, d head dimension, s rows whose logits are wanted, v vocabulary,
i what all heads give out together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from torch import Tensor

from engine.gpu.moe import grouped_moe
from engine.matrix import times
from engine.model import attention
from engine.model.attention import Piece
from engine.model.low_rank import UNCHANGED, Adapted, Place
from engine.model.moe import mlp, moe
from engine.model.norm import rms_norm, unit_rms
from engine.model.rope import angles, rotate
from engine.shape import LayerConfig, ModelConfig
from engine.weights import GroupedMoe, Layer, Moe, Weights

if TYPE_CHECKING:
    from engine.adapters import Adapter

Worn: TypeAlias = "Sequence[tuple[slice, Adapter]]"
"""Rows of the batch, and which adapter they have."""


class Company(Protocol):
    """The processes that have the other shares of the layers."""

    def begin(self, x_tD: Tensor, positions_t: Tensor, planned: Sequence[attention.Layer], adapters: Worn) -> None:
        """Have them do the same layers with the same rows."""

    def total(self, part_tD: Tensor) -> Tensor:
        """The sum of everybody's part."""


class Alone:
    """Nobody has: one process has the whole model."""

    def begin(self, x_tD: Tensor, positions_t: Tensor, planned: Sequence[attention.Layer], adapters: Worn) -> None:
        """There is nobody to tell."""

    def total(self, part_tD: Tensor) -> Tensor:
        return part_tD


ALONE = Alone()


def forward(
    config: ModelConfig,
    weights: Weights,
    frequencies_r: Tensor,
    ids_t: Tensor,
    positions_t: Tensor,
    pieces: list[Piece],
    wanted_s: Tensor,
    adapters: Worn = (),
    seen: Iterable[tuple[int, Tensor]] = (),
    company: Company = ALONE,
) -> Tensor:
    """Logits [s, v] of the wanted rows. The pieces' slots hold the new keys and values afterwards.

    `seen`: rows that stand where there are patches of pictures, from which row of the batch on.
    `company`: who has the other shares of the layers.
    """
    x_tD = weights.embedding_vD[ids_t]
    for row, rows_nD in seen:
        x_tD[row : row + len(rows_nD)] = rows_nD
    planned = attention.plans(pieces)
    company.begin(x_tD, positions_t, planned, adapters)
    x_tD = through(config, weights.layers, frequencies_r, x_tD, positions_t, planned, adapters, company.total)
    last_sD = rms_norm(x_tD[wanted_s], weights.norm, config.norm_eps)
    return times(last_sD.float(), weights.head_vD)


def through(
    config: ModelConfig,
    layers: Sequence[Layer],
    frequencies_r: Tensor,
    x_tD: Tensor,
    positions_t: Tensor,
    planned: Sequence[attention.Layer],
    adapters: Worn = (),
    total: Callable[[Tensor], Tensor] = ALONE.total,
) -> Tensor:
    """What all layers make of the rows; `total` is called twice for each layer, with this process's part of a sum."""
    angles_tr = angles(positions_t, frequencies_r)
    for index, (layer, parameters) in enumerate(zip(config.layers, layers, strict=True)):
        adapted = Adapted([(rows, one.layers[index]) for rows, one in adapters]) if adapters else UNCHANGED
        normed_tD = rms_norm(x_tD, parameters.input_norm, config.norm_eps)
        part_tD = _attention(config, layer, parameters, normed_tD, positions_t, angles_tr, planned[index], adapted)
        x_tD = x_tD + total(part_tD)
        normed_tD = rms_norm(x_tD, parameters.post_norm, config.norm_eps)
        x_tD = x_tD + total(_feed_forward(config, parameters, normed_tD, adapted))
    return x_tD


def _attention(
    config: ModelConfig,
    layer: LayerConfig,
    parameters: Layer,
    x_tD: Tensor,
    positions_t: Tensor,
    angles_tr: Tensor,
    planned: attention.Layer,
    adapted: Adapted,
) -> Tensor:
    heads, kv_heads, tokens = config.heads, config.kv_heads, x_tD.shape[0]
    joined = adapted.add(Place.QKV, times(x_tD, parameters.qkv), x_tD).view(
        tokens, heads + 2 * kv_heads, config.head_dim
    )
    q_thd, k_tkd, v_tkd = joined[:, :heads], joined[:, heads:-kv_heads], joined[:, -kv_heads:]
    if parameters.q_norm is not None and parameters.k_norm is not None:
        q_thd = rms_norm(q_thd, parameters.q_norm, config.norm_eps)
        k_tkd = rms_norm(k_tkd, parameters.k_norm, config.norm_eps)
    if layer.uses_rope and parameters.q_norm is None:
        # Queries and keys lie behind one another: one call for both.
        turned = rotate(joined[:, :-kv_heads], angles_tr)
        if config.qk_norm:
            turned = unit_rms(turned, config.norm_eps)
        q_thd, k_tkd = turned[:, :heads], turned[:, heads:]
    elif layer.uses_rope:
        q_thd, k_tkd = rotate(q_thd, angles_tr), rotate(k_tkd, angles_tr)
    elif config.temperature_tuning:
        q_thd = (q_thd * temperature(config, positions_t)[:, None, None]).to(q_thd.dtype)
    out_thd = planned.attend(q_thd, k_tkd, v_tkd)
    out_ti = out_thd.reshape(tokens, -1)
    return adapted.add(Place.OUT, times(out_ti, parameters.out), out_ti)


def temperature(config: ModelConfig, positions_t: Tensor) -> Tensor:
    """How much sharper a NoPE layer attends far into a long text; one for the first `floor_scale` positions."""
    return torch.log1p(torch.floor((positions_t.float() + 1.0) / config.floor_scale)) * config.attn_scale + 1.0


def _feed_forward(config: ModelConfig, parameters: Layer, x_tD: Tensor, adapted: Adapted) -> Tensor:
    part = parameters.feed_forward
    if isinstance(part, GroupedMoe):
        return grouped_moe(x_tD, part, config.experts_per_token, adapted)
    return moe(x_tD, part, config.experts_per_token, adapted) if isinstance(part, Moe) else mlp(x_tD, part, adapted)
