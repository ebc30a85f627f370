"""The products of a mixture of experts: rows that are sorted by expert, each times the weights of its own.

How many rows an expert got is known to the card alone. Nothing here asks for it, so a step never waits for the card,
and all of it can be recorded in a CUDA graph: sizes of results and of grids follow from the number of rows and experts.
Weights of experts that got no row are not read.

Shapes: n rows, i inputs, o outputs, e experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.gpu.packed import REDUCED, Packed, pack


class Experts(Protocol):
    """The weights of all experts in one of their projections."""

    def times(self, x_ni: Tensor, ends_e: Tensor) -> Tensor:
        """[n, o]. Rows up to `ends_e[0]` belong to the first expert, from there to `ends_e[1]` to the next one."""


class Whole:
    """All bits."""

    def __init__(self, weights_oi: Sequence[Tensor], dtype: torch.dtype, device: torch.device) -> None:
        outputs, inputs = weights_oi[0].shape
        self._weight_eoi = torch.empty(len(weights_oi), outputs, inputs, dtype=dtype, device=device)
        for at, weight_oi in enumerate(weights_oi):
            self._weight_eoi[at].copy_(weight_oi)

    def times(self, x_ni: Tensor, ends_e: Tensor) -> Tensor:
        return F.grouped_mm(x_ni, self._weight_eoi.transpose(1, 2), offs=ends_e)


class Reduced:
    """Fewer bits, which stay packed in memory."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def times(self, x_ni: Tensor, ends_e: Tensor) -> Tensor:
        return F.grouped_mm(x_ni, self._packed.wide(x_ni.dtype).transpose(1, 2), offs=ends_e)


def experts_of(weights_oi: Sequence[Tensor], precision: str, device: torch.device) -> Experts:
    """One projection of all experts, each [o, i]. They are moved to the device one by one."""
    if precision in REDUCED:
        return Reduced(pack(weights_oi, precision, device))
    return Whole(weights_oi, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision], device)
