"""Weights as the card's kernels read them, many projections of one shape in one tensor, most in fewer bits.

`fp32` and `bf16` are stacked as they are. A decoding step reads every weight that it uses once, so its bytes are its
time, and the others stay packed in memory. `int8` and `fp8` have one scale for each output, `int4` one for each group
of inputs. All round to nearest; weights of four bits that were so before keep their steps. Each projection is rounded
on the card by itself, so the peak is the packed weights and one projection in fp32.

Inputs come in blocks of 128, the last one filled up with zeros, and a block in runs: 4 of 32 numbers of four bits, 2 of
64 of eight. A word of 32 bits has two neighbouring inputs of each run, at the same place of its two halves, so that a
kernel unpacks a run by one shift and one mask for two numbers. Four bits are the number plus 8. Of eight bits the first
run has the lower byte of a half. Whole numbers of eight bits are seven of size and a sign, and each of the two in one
half has its sign in front of the other: so the first one's is where a bf16 has its sign. Scales of neighbouring groups
share a word as well. In memory a block's words of all outputs follow each other, so that what a program reads at once
lies together.

Shapes: e projections, o outputs, i inputs, g groups of inputs, n inputs of a group, b blocks, j words of a block,
p pairs of groups, h halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.steps import SAMPLED, TINY, is_on_grid, steps_of

BLOCK: Final = 128
"""Inputs whose words lie together."""
RUNS: Final = {"int4": 4, "int8": 2, "fp8": 2}
"""Runs of a block."""
GROUPS: Final = (128, 32)
"""How many inputs may share a scale of four bits."""
REDUCED: Final = tuple(RUNS)
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Of what is stacked as it is."""
PRECISIONS: Final = (*DTYPES, *REDUCED)
_RANGE: Final = {"fp8": (-448.0, 448.0), "int8": (-127.0, 127.0), "int4": (-8.0, 7.0)}


@dataclass(frozen=True, slots=True)
class Packed:
    """Projections of one shape."""

    precision: str
    words: Tensor
    """int32 [e, o, b, j]; of fp32 and bf16 the weights [e, o, i]."""
    scale_epoh: Tensor
    """bf16 of four bits. Of eight fp32, one for each output: [e, 1, o, 1]. Else empty."""
    inputs: int
    group: int
    """Inputs that share a scale."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was rounded."""
        return self.precision in DTYPES

    @property
    def outputs(self) -> int:
        return self.words.shape[1]

    def part(self, begin: int, end: int) -> Packed:
        """Some of the projections, in the same memory."""
        scale_epoh = self.scale_epoh[begin:end] if self.scale_epoh.numel() else self.scale_epoh
        return Packed(self.precision, self.words[begin:end], scale_epoh, self.inputs, self.group)

    @property
    def padded(self) -> int:
        """Inputs with those that fill up the last block."""
        return -(-self.inputs // BLOCK) * BLOCK

    def wide(self, dtype: torch.dtype) -> Tensor:
        """The weights that are meant, [e, o, i]."""
        if self.is_whole:
            return self.words.to(dtype)
        numbers_eoi = _unpacked(self.words, self.precision)
        grouped_eogn = numbers_eoi.view(*numbers_eoi.shape[:2], -1, self.group)
        scale_eog = self.scale_epoh.float().permute(0, 2, 1, 3).flatten(2)[..., : grouped_eogn.shape[2]]
        scaled_eogn = grouped_eogn * scale_eog[..., None]
        return scaled_eogn.flatten(2)[..., : self.inputs].to(dtype)


def pack(weights_oi: Sequence[Tensor], precision: str, device: torch.device, group: int | None = None) -> Packed:
    """KeyError for an unknown precision. `group` is of four bits; None: 32 for what was so before, else 128."""
    (outputs, inputs), count = weights_oi[0].shape, len(weights_oi)
    if precision in DTYPES:
        weight_eoi = torch.empty(count, outputs, inputs, dtype=DTYPES[precision], device=device)
        for at, weight_oi in enumerate(weights_oi):
            weight_eoi[at].copy_(weight_oi)
        return Packed(precision, weight_eoi, torch.empty(0, device=device), inputs, group=0)
    padded = -(-inputs // BLOCK) * BLOCK
    is_grouped = precision == "int4"
    blocks, words = padded // BLOCK, BLOCK // (2 * RUNS[precision])
    if precision == "fp8":  # as torch's own products want them
        words_eobj = torch.empty(count, outputs, blocks, words, dtype=torch.int32, device=device)
    else:
        words_eobj = torch.empty(count, blocks, outputs, words, dtype=torch.int32, device=device).transpose(1, 2)
    if is_grouped:
        # The last one may be a shared expert, which was reduced apart from the others or not at all.
        group = group or min(_group(weights_oi[at].to(device), padded) for at in {0, count - 1})
        pairs = -(-padded // (2 * group))
        scale_epoh = torch.empty(count, pairs, outputs, 2, dtype=torch.bfloat16, device=device)
    else:
        group, scale_epoh = padded, torch.empty(count, 1, outputs, 1, device=device)
    packed = Packed(precision, words_eobj, scale_epoh, inputs, group)
    for at, weight_oi in enumerate(weights_oi):
        _pack_one(F.pad(weight_oi.to(device).float(), (0, padded - inputs)), packed, at)
    return packed


def _group(weight_oi: Tensor, padded: int) -> int:
    """The larger of GROUPS unless the weights are on grids of the smaller alone."""
    rows_oi = F.pad(weight_oi[:SAMPLED].float(), (0, padded - weight_oi.shape[1]))
    wide, narrow = (is_on_grid(rows_oi.view(len(rows_oi), -1, group)) for group in GROUPS)
    return GROUPS[1] if narrow and not wide else GROUPS[0]


def _pack_one(weight_oi: Tensor, packed: Packed, at: int) -> None:
    least, most = _RANGE[packed.precision]
    grouped_ogn = weight_oi.view(packed.outputs, -1, packed.group)
    step_og = steps_of(grouped_ogn) if packed.precision == "int4" else grouped_ogn.abs().amax(dim=2) / most
    scale_og = step_og.clamp_min(TINY).to(packed.scale_epoh.dtype)
    pairs, outputs, halves = packed.scale_epoh.shape[1:]
    filled_og = F.pad(scale_og, (0, pairs * halves - scale_og.shape[1]))
    packed.scale_epoh[at] = filled_og.view(outputs, pairs, halves).transpose(0, 1)
    # A scale that was rounded down cuts the largest weights, by less than half a step.
    ratio_ogn = (grouped_ogn / scale_og.float()[..., None]).clamp_(least, most)
    packed.words[at] = _words(ratio_ogn.flatten(1), packed.precision)


def _words(ratio_oi: Tensor, precision: str) -> Tensor:
    """Numbers [o, i] in steps, not yet rounded, to words [o, b, j]."""
    runs = RUNS[precision]
    shape = (ratio_oi.shape[0], -1, runs, BLOCK // runs // 2, 2)
    if precision == "fp8":
        codes = ratio_oi.to(torch.float8_e4m3fn).view(torch.uint8).to(torch.int32).view(shape)
        halves = codes[:, :, 0] | (codes[:, :, 1] << 8)
    elif precision == "int8":
        whole = ratio_oi.round().to(torch.int32).view(shape)
        sizes, signs = whole.abs(), (whole < 0).to(torch.int32)
        halves = sizes[:, :, 0] | (signs[:, :, 1] << 7) | (sizes[:, :, 1] << 8) | (signs[:, :, 0] << 15)
    else:
        codes = ratio_oi.round().to(torch.int32).view(shape) + 8
        halves = codes[:, :, 0] | (codes[:, :, 1] << 4) | (codes[:, :, 2] << 8) | (codes[:, :, 3] << 12)
    return halves[..., 0] | (halves[..., 1] << 16)


def _unpacked(words_eobj: Tensor, precision: str) -> Tensor:
    """The numbers [e, o, i] in fp32."""
    halves = torch.stack([words_eobj & 0xFFFF, (words_eobj >> 16) & 0xFFFF], dim=-1)
    if precision == "fp8":
        codes = torch.stack([halves & 0xFF, halves >> 8], dim=3).to(torch.uint8)
        return codes.view(torch.float8_e4m3fn).float().flatten(2)
    if precision == "int8":
        sizes = torch.stack([halves & 0x7F, (halves >> 8) & 0x7F], dim=3)
        signs = torch.stack([halves >> 15, (halves >> 7) & 1], dim=3)
        return (sizes * (1 - 2 * signs)).flatten(2).float()
    return torch.stack([((halves >> shift) & 15) - 8 for shift in (0, 4, 8, 12)], dim=3).flatten(2).float()
