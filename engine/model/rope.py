"""Rotary positions for Llama 4: neighbouring pairs of a head are rotated, by angles that depend on the position.

Shapes: t tokens, h heads, d head dimension, r = d/2 rotations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.shape import ModelConfig, RopeScaling


def frequencies(config: ModelConfig) -> Tensor:
    """Radians per position for each pair, fp32 always: a cast to 16 bits would move every angle."""
    exponent_r = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    plain_r = 1.0 / (config.theta**exponent_r)
    return plain_r if config.rope_scaling is None else _stretched(plain_r, config.rope_scaling)


def angles(positions_t: Tensor, frequencies_r: Tensor) -> Tensor:
    """Unit complex numbers [t, r] for these positions."""
    turn_tr = positions_t.float()[:, None] * frequencies_r
    return torch.polar(torch.ones_like(turn_tr), turn_tr)


def rotate(x_thd: Tensor, angles_tr: Tensor) -> Tensor:
    pairs_thr = torch.view_as_complex(x_thd.float().reshape(*x_thd.shape[:-1], -1, 2))
    return torch.view_as_real(pairs_thr * angles_tr[:, None, :]).flatten(2).to(x_thd.dtype)


def _stretched(plain_r: Tensor, scaling: RopeScaling) -> Tensor:
    """The `llama3` rule: slow rotations are slowed by `factor`, fast ones kept, those between are blended."""
    wavelength_r = 2 * math.pi / plain_r
    longest_kept = scaling.original_positions / scaling.high_freq_factor
    shortest_slowed = scaling.original_positions / scaling.low_freq_factor
    slowed_r = plain_r / scaling.factor
    spread = scaling.high_freq_factor - scaling.low_freq_factor
    # With equal factors nothing lies between, and the blend below is never chosen.
    keep_r = (scaling.original_positions / wavelength_r - scaling.low_freq_factor) / (spread or 1.0)
    blended_r = (1 - keep_r) * slowed_r + keep_r * plain_r
    result_r = torch.where(wavelength_r > shortest_slowed, slowed_r, plain_r)
    is_between_r = (wavelength_r >= longest_kept) & (wavelength_r <= shortest_slowed)
    return torch.where(is_between_r & (spread != 0), blended_r, result_r)
