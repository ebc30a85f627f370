"""The products of a mixture of experts: rows that are sorted by expert, each times the weights of its own.

How many rows an expert got is known to the card alone. Nothing here asks for it, so a step never waits for the card,
and all of it can be recorded in a CUDA graph: sizes of results and of grids follow from the number of rows and experts.
Weights of experts that got no row are not read. The shared expert, which every row takes, lies behind the others: for
few rows it is one more of them, so that a layer's feed-forward is two products and not four.

Shapes: n rows, i inputs, o outputs, e experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.gpu.matrix import Matrix, PackedMatrix
from engine.gpu.packed import Packed, pack
from engine.gpu.product import product


class Experts(Protocol):
    """The weights of all experts in one of their projections."""

    def times(self, x_ni: Tensor, ends_e: Tensor) -> Tensor:
        """[n, o]. Rows up to `ends_e[0]` belong to the first expert, from there to `ends_e[1]` to the next one.

        The last ones may be left out.
        """

    def one(self, at: int) -> Matrix:
        """One of them by itself, in the same memory."""


@dataclass(frozen=True, slots=True)
class PackedExperts:
    """All in one tensor."""

    packed: Packed

    def times(self, x_ni: Tensor, ends_e: Tensor) -> Tensor:
        return product(x_ni, self.packed.part(0, len(ends_e)), ends_e)

    def one(self, at: int) -> Matrix:
        return PackedMatrix(self.packed.part(at, at + 1))


def experts_of(weights_oi: Sequence[Tensor], precision: str, device: torch.device) -> Experts:
    """One projection of all experts, each [o, i]. They are moved to the device one by one."""
    return PackedExperts(pack(weights_oi, precision, device))
