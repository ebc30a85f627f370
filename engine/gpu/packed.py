"""Weights in fewer bits, many projections of one shape in one tensor, as the card's kernels read them.

A decoding step reads every weight that it uses once, so its bytes are its time, and they stay packed in memory. `int8`
and `fp8` have one scale for each output, `int4` one for each group of inputs; all round to nearest, symmetrically. Four
bits need inputs in pairs of groups of 32: what has not keeps eight. Each projection is rounded on the card by itself,
so the peak is the packed weights and one projection in fp32.

Two numbers of four bits share a byte: of a block of 2h inputs, byte j holds input j below and input h + j above, so
that a kernel gets two runs of inputs from a run of bytes without sorting single numbers.

Shapes: e projections, o outputs, i inputs, b bytes of a row, g groups of inputs that share a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

WIDE_GROUP: Final = 128
NARROW_GROUP: Final = 32
"""Inputs that share a scale of four bits: the first where they can be divided so."""
HALVES: Final = {WIDE_GROUP: 64, NARROW_GROUP: 32}
"""Inputs in the lower halves of a block of bytes, by group."""
REDUCED: Final = ("fp8", "int8", "int4")
_MOST: Final = {torch.float8_e4m3fn: 448.0, torch.int8: 127.0, torch.uint8: 7.0}
_ZERO: Final = 8
"""What stands for zero in four bits."""
_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Packed:
    """Projections of one shape. The type of the steps tells the precision: uint8 holds two of four bits."""

    steps_eob: Tensor
    scale_ego: Tensor
    """fp32, or bf16 where there are many."""
    inputs: int

    @property
    def outputs(self) -> int:
        return self.steps_eob.shape[1]

    @property
    def group(self) -> int:
        """Inputs that share a scale."""
        return self.inputs // self.scale_ego.shape[1]

    @property
    def is_halved(self) -> bool:
        return self.steps_eob.dtype == torch.uint8

    def wide(self, dtype: torch.dtype) -> Tensor:
        """The weights that are meant, [e, o, i]."""
        steps_eoi = self._whole().float()
        grouped = steps_eoi.view(*steps_eoi.shape[:2], -1, self.group)
        return (grouped * self.scale_ego.float().transpose(1, 2)[..., None]).flatten(2).to(dtype)

    def _whole(self) -> Tensor:
        if not self.is_halved:
            return self.steps_eob
        runs = self.steps_eob.view(*self.steps_eob.shape[:2], -1, HALVES[self.group])
        found: Tensor = torch.stack([runs & 15, runs >> 4], dim=3).flatten(2).to(torch.int8) - _ZERO
        return found


def pack(weights_oi: Sequence[Tensor], precision: str, device: torch.device) -> Packed:
    """KeyError for what is no reduced precision."""
    outputs, inputs = weights_oi[0].shape
    kind = {"fp8": torch.float8_e4m3fn, "int8": torch.int8, "int4": torch.uint8}[precision]
    if kind == torch.uint8 and inputs % (2 * NARROW_GROUP):
        kind = torch.int8
    group = _group(inputs) if kind == torch.uint8 else inputs
    width = inputs // 2 if kind == torch.uint8 else inputs
    steps_eob = torch.empty(len(weights_oi), outputs, width, dtype=kind, device=device)
    scale_dtype = torch.bfloat16 if kind == torch.uint8 else torch.float32
    scale_ego = torch.empty(len(weights_oi), inputs // group, outputs, dtype=scale_dtype, device=device)
    for at, weight_oi in enumerate(weights_oi):
        _pack_one(weight_oi.to(device), group, steps_eob[at], scale_ego[at])
    return Packed(steps_eob, scale_ego, inputs)


def _group(inputs: int) -> int:
    return NARROW_GROUP if inputs % WIDE_GROUP else WIDE_GROUP


def _pack_one(weight_oi: Tensor, group: int, steps_ob: Tensor, scale_go: Tensor) -> None:
    most = _MOST[steps_ob.dtype]
    grouped_ogn = weight_oi.float().contiguous().view(weight_oi.shape[0], -1, group)
    scale_og = (grouped_ogn.abs().amax(dim=2) / most).clamp_min(_TINY).to(scale_go.dtype)
    scale_go.copy_(scale_og.t())
    # A scale that was rounded down cuts the largest weights, by less than half a step.
    ratio_oi = (grouped_ogn / scale_og.float()[..., None]).clamp_(-most, most).flatten(1)
    if steps_ob.dtype == torch.float8_e4m3fn:
        steps_ob.copy_(ratio_oi)
        return
    whole_oi = ratio_oi.round_()
    if steps_ob.dtype == torch.uint8:
        runs = (whole_oi + _ZERO).to(torch.uint8).view(weight_oi.shape[0], -1, 2, HALVES[group])
        whole_oi = (runs[:, :, 0] | (runs[:, :, 1] << 4)).flatten(1)
    steps_ob.copy_(whole_oi)
