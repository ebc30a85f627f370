"""What adapters add to a projection: two thin matrices for those rows of the batch that have the adapter.

The base model is computed once for all rows of a step. Rows of one adapter lie behind one another, so each adapter is a
slice of the batch, its own multiplications and nothing more; rows without an adapter are not touched. Factors are
multiplied in when an adapter is read.

Shapes: t tokens, i inputs, o outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import torch
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
    up_n: Tensor
    """The second matrices of all parts, one behind the other; those of the parts are views of it."""
    parts: tuple[Part, ...]


Placed: TypeAlias = tuple[slice, Tensor, Tensor]
"""Columns of the joined multiplication, and both matrices: [r, i] and [r, o]."""


def joined(placed: Sequence[Placed]) -> LowRank:
    """What several projections get that read the same input."""
    up_n = torch.cat([up_ro.flatten() for _, _, up_ro in placed])
    return LowRank(torch.cat([down_ri for _, down_ri, _ in placed]), up_n, tuple(_parts(placed, up_n)))


def _parts(placed: Sequence[Placed], up_n: Tensor) -> Iterator[Part]:
    begin = n = 0
    for columns, _, up_ro in placed:
        end = begin + up_ro.shape[0]
        yield Part(slice(begin, end), columns, up_n[n : n + up_ro.numel()].view(up_ro.shape))
        begin, n = end, n + up_ro.numel()


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
