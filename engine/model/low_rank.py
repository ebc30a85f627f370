"""What adapters add to a projection: two thin matrices for those rows of the batch that have the adapter.

The base model is computed once for all rows of a step. Rows of one adapter lie behind one another, so each adapter is a
slice of the batch, its own multiplications and nothing more; rows without an adapter are not touched. Factors are
multiplied in when an adapter is read.

Shapes: t tokens, i inputs, o outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor


class Place(Enum):
    """Multiplications of a layer that an adapter may add to. Those that read the same input are one."""

    QKV = "qkv"
    OUT = "out"
    GATE_UP = "gate_up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Part:
    """The share of one projection in a joined multiplication."""

    ranks: slice
    columns: slice
    up_ro: Tensor


@dataclass(frozen=True, slots=True)
class LowRank:
    """What is added to one multiplication."""

    down_ri: Tensor
    """The first matrices of all parts, one below the other: they read the same input."""
    parts: tuple[Part, ...]


AdaptedLayer: TypeAlias = Mapping[Place, LowRank]


@dataclass(frozen=True, slots=True)
class Adapted:
    """One layer's adapters in one step."""

    groups: Sequence[tuple[slice, AdaptedLayer]] = ()
    """Rows of the batch, and what is added to them."""

    def add(self, place: Place, out_to: Tensor, x_ti: Tensor) -> Tensor:
        """`out_to`, changed where it lies: it is a product that nobody else holds."""
        for rows, layer in self.groups:
            if (low := layer.get(place)) is None:
                continue
            x_tr = F.linear(x_ti[rows], low.down_ri)
            for part in low.parts:
                out_to[rows, part.columns].addmm_(x_tr[:, part.ranks], part.up_ro)
        return out_to


UNCHANGED = Adapted()
"""No row has an adapter."""
