"""All layers of a step in which every sequence gets one token: the products, and one kernel each for what lies between.

The same mathematics as engine/model/decoder.py, which serves any mixture of pieces. A norm belongs to the sum
before it, so the last layer's sum is normed as the head wants it.

Shapes: b rows, D hidden, h heads, d head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from engine.gpu.between import Added, Turn, add_norm, gated, turned
from engine.gpu.moe import added_by
from engine.gpu.paged import decode_attention
from engine.matrix import times
from engine.model.decoder import temperature
from engine.model.norm import rms_norm
from engine.model.rope import angles
from engine.pages import Pages
from engine.shape import LayerConfig, ModelConfig
from engine.weights import GroupedMoe, Layer, Mlp, Moe, Weights


@dataclass(frozen=True, slots=True)
class Paged:
    """Where one layer's attention looks and writes in such a step."""

    pages: Pages
    row: int
    """Which layer of a block."""
    writes_b: Tensor
    starts_bl: Tensor
    lengths_b: Tensor
    """Positions from the table's first on, the new one with them."""
    firsts_b: Tensor | None
    """The first of those that is seen; None: all are."""

    def look(self, q_bhd: Tensor) -> Tensor:
        """What each row gets, once its own keys and values are there."""
        pages, row = self.pages, self.row
        return decode_attention(
            q_bhd,
            pages.keys_lkpd[row],
            pages.values_lkpd[row],
            self.starts_bl,
            self.lengths_b,
            pages.layout.block,
            pages.scales(row),
            self.firsts_b,
        )


def through_rows(
    config: ModelConfig,
    weights: Weights,
    frequencies_r: Tensor,
    x_bD: Tensor,
    positions_b: Tensor,
    planned: Sequence[Paged],
) -> Tensor:
    """What the head is multiplied with."""
    angles_br, heat_b = angles(positions_b, frequencies_r), temperature(config, positions_b)
    following = [*(layer.input_norm for layer in weights.layers[1:]), weights.norm]
    normed_bD = rms_norm(x_bD, weights.layers[0].input_norm, config.norm_eps)
    for layer, parameters, paged, norm in zip(config.layers, weights.layers, planned, following, strict=True):
        joined_bhd = times(normed_bD, parameters.qkv).view(len(x_bD), -1, config.head_dim)
        turn = _turn(config, layer, parameters, angles_br, heat_b)
        q_bhd = turned(joined_bhd, turn, paged.pages, paged.row, paged.writes_b)
        out_bD = times(paged.look(q_bhd).reshape(len(x_bD), -1), parameters.out)
        x_bD, normed_bD = add_norm(x_bD, Added(out_bD), parameters.post_norm, config.norm_eps)
        added = _feed_forward(parameters.feed_forward, normed_bD, config.experts_per_token)
        x_bD, normed_bD = add_norm(x_bD, added, norm, config.norm_eps)
    return normed_bD


def _turn(config: ModelConfig, layer: LayerConfig, parameters: Layer, angles_br: Tensor, heat_b: Tensor) -> Turn:
    weights = None
    if parameters.q_norm is not None and parameters.k_norm is not None:
        weights = parameters.q_norm, parameters.k_norm
    is_heated = config.temperature_tuning and not layer.uses_rope
    return Turn(
        config.heads,
        angles_br if layer.uses_rope else None,
        heat_b if is_heated else None,
        weights,
        config.qk_norm and layer.uses_rope and weights is None,
        config.norm_eps,
    )


def _feed_forward(part: Mlp | Moe | GroupedMoe, x_bD: Tensor, experts_per_token: int) -> Added:
    if isinstance(part, GroupedMoe):
        return added_by(x_bD, part, experts_per_token)
    if isinstance(part, Moe):
        raise AssertionError("experts of a GPU are grouped")
    return Added(times(gated(times(x_bD, part.gate_up)), part.down))
