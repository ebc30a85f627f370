"""One tile of pixels to the rows that stand for it among a text's embeddings.

A tile is cut into patches, each a row; a class row comes last and is dropped at the end. Where a patch lies is told
twice, by learned places and by rotations of its row and column. All patches see each other. Then neighbouring patches
become one row, two small layers and a projection bring it to the text model's width. One tile at a time always, so
that what a tile comes to does not depend on what else is in the step.

Shapes: p patches of a tile, with the class row where it says so, D hidden, h heads, d head dimension, r = d/2
rotations, n rows that the text model sees.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.device import sent
from engine.model.rope import rotate
from engine.vision.shape import VisionConfig
from engine.vision.weights import Norm, SeeingLayer, VisionWeights


class Encoder:
    """Sees with one set of weights."""

    def __init__(self, config: VisionConfig, weights: VisionWeights) -> None:
        self._config, self._weights = config, weights
        self._device = weights.class_D.device
        self._turns_pr = turns(config).to(self._device)

    def see(self, pixels: Tensor) -> Tensor:
        """Rows [n, text hidden] for a tile [3, side, side] of bytes."""
        config, weights = self._config, self._weights
        scaled = (sent(pixels, self._device).float() / 255 - 0.5) / 0.5
        x_pD = weights.patches(in_patches(scaled.to(weights.class_D.dtype), config.patch))
        x_pD = torch.cat([x_pD, weights.class_D[None]]) + weights.places_pD
        x_pD = _normed(x_pD, weights.before)
        for layer in weights.layers:
            x_pD = x_pD + self._attention(_normed(x_pD, layer.input_norm), layer)
            x_pD = x_pD + layer.narrow(layer.widen(_normed(x_pD, layer.post_norm)))
        x_pD = _normed(x_pD, weights.after)[:-1]
        shuffled = merged(x_pD, config.across, config.shrink)
        rows: Tensor = weights.projector(weights.adapter_out(weights.adapter_in(shuffled)))
        return rows

    def _attention(self, x_pD: Tensor, layer: SeeingLayer) -> Tensor:
        count, heads = x_pD.shape[0], self._config.heads
        q_phd, k_phd, v_phd = layer.qkv(x_pD).view(count, 3, heads, -1).unbind(1)
        q_phd, k_phd = rotate(q_phd, self._turns_pr), rotate(k_phd, self._turns_pr)
        q_hpd, k_hpd, v_hpd = (part.transpose(0, 1)[None] for part in (q_phd, k_phd, v_phd))
        out_hpd = F.scaled_dot_product_attention(q_hpd, k_hpd, v_hpd)[0]
        out: Tensor = layer.out(out_hpd.transpose(0, 1).reshape(count, -1))
        return out


def _normed(x_pD: Tensor, norm: Norm) -> Tensor:
    return F.layer_norm(x_pD, x_pD.shape[-1:], norm.weight, norm.bias)


def in_patches(pixels: Tensor, patch: int) -> Tensor:
    """A tile's patches in reading order, the values of each by colour, row and column."""
    channels, side, _ = pixels.shape
    across = side // patch
    cut = pixels.view(channels, across, patch, across, patch).permute(1, 3, 0, 2, 4)
    return cut.reshape(across * across, channels * patch * patch)


def merged(x_pD: Tensor, across: int, shrink: int) -> Tensor:
    """Squares of `shrink` times `shrink` neighbours as one row each, its patches in reading order."""
    size = x_pD.shape[-1]
    few = across // shrink
    square = x_pD.view(few, shrink, few, shrink, size)
    return square.permute(0, 2, 1, 3, 4).reshape(few * few, shrink * shrink * size)


def turns(config: VisionConfig) -> Tensor:
    """Unit complex numbers [p, r]: of each pair of rotations the first turns with the column, the second with the row.

    Rotations of columns fill the first half of a head, those of rows the second. The class row is not turned.
    """
    across, quarter = config.across, config.hidden // config.heads // 4
    frequencies = 1.0 / config.theta ** (torch.arange(quarter, dtype=torch.float32) / quarter)
    place = torch.arange(across * across)
    column, row = place % across + 1, place // across + 1
    angles = torch.cat([column[:, None] * frequencies, row[:, None] * frequencies], dim=-1)
    angles = torch.cat([angles, torch.zeros(1, 2 * quarter)])
    return torch.polar(torch.ones_like(angles), angles)
