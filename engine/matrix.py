"""The weights of one projection as the processor reads them fastest, or in fewer bits.

A decoding step reads every weight that it uses once, so its bytes are its time. `fp32` and `bf16` change nothing but
the order of the weights in memory. `int8` has one scale for each output, `int4` one for each 32 weights of an output;
both round to nearest when a model is loaded, experts like any other projection, and multiply in bf16. What cannot be
laid out so keeps more bits: four bits need outputs in multiples of 16. The weights are reduced, never the
activations, so what a token gets does not depend on the size of its neighbours' values.

Shapes: t tokens, i inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.reduced import packs
from engine.steps import TINY, steps_of

GROUP = 32
"""Weights of four bits that share a scale."""
FEW = 16
"""Up to so many tokens, eight-bit weights are read as they are; for more it is faster to widen them first."""
LANE = 16
"""Inputs that its kernel takes at once."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.bfloat16, "int4": torch.bfloat16}
"""What the layers of a precision compute in."""


class Laid:
    """All bits, in the processor's order."""

    def __init__(self, weight_oi: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight_oi)

    def times(self, x_ti: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x_ti, self._weight, None, "none", [], "none")
        return found


class Int8:
    """Eight bits, a scale for each output."""

    def __init__(self, weight_oi: Tensor) -> None:
        wide_oi = weight_oi.float()
        self.scale_o = (wide_oi.abs().amax(dim=1) / 127).clamp_min(TINY).to(torch.bfloat16)
        # Rounded scales may be too small by a little: the largest weights are cut, by less than half a step.
        self.weight_oi = (wide_oi / self.scale_o.float()[:, None]).round().clamp(-127, 127).to(torch.int8)

    def times(self, x_ti: Tensor) -> Tensor:
        # torch 2.13 reads past the end of rows that are no multiple of LANE inputs, and may crash.
        if x_ti.shape[0] <= FEW and x_ti.shape[1] % LANE == 0:
            found: Tensor = torch.ops.aten._weight_int8pack_mm(x_ti.contiguous(), self.weight_oi, self.scale_o)
            return found
        # Whole numbers up to 256 are exact in bf16.
        return F.linear(x_ti, self.weight_oi.to(torch.bfloat16)) * self.scale_o


class Int4:
    """Four bits, a scale for each GROUP of an output's weights."""

    def __init__(self, weight_oi: Tensor) -> None:
        outputs, inputs = weight_oi.shape
        grouped = weight_oi.float().view(outputs, inputs // GROUP, GROUP)
        scale_og = steps_of(grouped).clamp_min(TINY).to(torch.bfloat16)
        steps = (grouped / scale_og.float()[..., None]).round().clamp(-8, 7) + 8
        whole_oi = steps.view(outputs, inputs).to(torch.int32)
        self._weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole_oi, 1)
        # The kernel wants a scale and an offset; what is symmetric has none.
        self._scale_go2 = torch.stack([scale_og.t(), torch.zeros_like(scale_og.t())], dim=-1).contiguous()

    def times(self, x_ti: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x_ti.contiguous(), self._weight, GROUP, self._scale_go2
        )
        return found


class Product(Protocol):
    """Weights that know how to multiply."""

    def times(self, x_ti: Tensor) -> Tensor: ...


Matrix: TypeAlias = Tensor | Product
Lay: TypeAlias = Callable[[Tensor], Matrix]


def plain(weight_oi: Tensor) -> Matrix:
    """As it is."""
    return weight_oi


def laid(weight_oi: Tensor) -> Matrix:
    """In the processor's order where torch has one."""
    return Laid(weight_oi.contiguous()) if packs(weight_oi) else weight_oi


def eight_bits(weight_oi: Tensor) -> Matrix:
    return Int8(weight_oi)


def four_bits(weight_oi: Tensor) -> Matrix:
    outputs, inputs = weight_oi.shape
    return Int8(weight_oi) if outputs % 16 or inputs % GROUP else Int4(weight_oi)


LAYS: dict[str, Lay] = {"fp32": laid, "bf16": laid, "int8": eight_bits, "int4": four_bits}
"""By precision."""


def times(x_ti: Tensor, matrix: Matrix) -> Tensor:
    """x W^T, whatever form the weights have."""
    return F.linear(x_ti, matrix) if isinstance(matrix, Tensor) else matrix.times(x_ti)
