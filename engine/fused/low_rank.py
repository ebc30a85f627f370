"""What adapters add to the products of a few rows, in loops: one call for each projection and adapter.

As in engine/model/low_rank.py the base is computed once for all rows, each adapter has its own rows of the step, and
rows without one are not touched. Its matrices are read where torch reads them; nothing is kept twice.

Shapes: t tokens, i inputs, o outputs, r rank, p parts, n numbers of all parts behind one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch

from engine.fused.compiled import compiled, wide
from engine.fused.loops import Floats, Ints, Stored, times
from engine.fused.memory import array_of
from engine.model.low_rank import LowRank, Place, joined

if TYPE_CHECKING:
    from engine.adapters import Adapter

NEAR = 512
"""Outputs that are added to at once: with their weights of all ranks they stay in the nearest cache."""


@dataclass(frozen=True, slots=True)
class Thin:
    """What one adapter adds to one multiplication."""

    down_ri: Stored
    one_r: Floats
    up_n: Stored
    part_p4: Ints
    """First rank, the one behind the last, first output, outputs. Parts lie behind one another in `up_n`."""


LoopedLayer: TypeAlias = Mapping[Place, Thin]


class Adapted:
    """One layer's adapters in one step."""

    def __init__(self, groups: Sequence[tuple[slice, LoopedLayer]] = ()) -> None:
        """Rows of the step, and what is added to them."""
        self.groups = groups

    def add(self, place: Place, out_to: Floats, x_ti: Floats) -> Floats:
        """`out_to`, changed where it lies."""
        for rows, layer in self.groups:
            if (thin := layer.get(place)) is not None:
                add_thin(x_ti[rows], thin.down_ri, thin.one_r, thin.up_n, thin.part_p4, out_to[rows])
        return out_to


UNCHANGED = Adapted()
"""No row has an adapter."""


class Adapters:
    """Those that steps had so far, as loops read them, for as long as somebody has them."""

    def __init__(self, dtype: torch.dtype) -> None:
        """`dtype`: what they are kept in. Compiled here, so that no step has to wait for it."""
        low = joined([(slice(0, 1), *torch.zeros(2, 1, 1, dtype=dtype))])
        Adapted([(slice(0, 1), {Place.OUT: _thin(low)})]).add(Place.OUT, *np.zeros((2, 1, 1), np.float32))
        self._known: WeakKeyDictionary[Adapter, Sequence[LoopedLayer]] = WeakKeyDictionary()

    def in_layers(self, worn: Sequence[tuple[slice, Adapter]], layers: int) -> Sequence[Adapted]:
        """What is added in each layer. `worn`: rows of the step, and which adapter they have."""
        if not worn:
            return [UNCHANGED] * layers
        groups = [(rows, self._looped(adapter)) for rows, adapter in worn]
        return [Adapted([(rows, looped[index]) for rows, looped in groups]) for index in range(layers)]

    def _looped(self, adapter: Adapter) -> Sequence[LoopedLayer]:
        if adapter not in self._known:
            self._known[adapter] = [{place: _thin(low) for place, low in one.items()} for one in adapter.layers]
        return self._known[adapter]


def _thin(low: LowRank) -> Thin:
    part_p4 = [
        (part.ranks.start, part.ranks.stop, part.columns.start, part.columns.stop - part.columns.start)
        for part in low.parts
    ]
    one_r = np.ones(low.down_ri.shape[0], np.float32)
    return Thin(array_of(low.down_ri), one_r, array_of(low.up_n), np.array(part_p4, np.int64))


@compiled
def add_thin(x_ti: Floats, down_ri: Stored, one_r: Floats, up_n: Stored, part_p4: Ints, out_to: Floats) -> None:
    """out += (x down^T) up, each part's ranks to its outputs."""
    x_tr = np.empty((x_ti.shape[0], down_ri.shape[0]), np.float32)
    times(x_ti, down_ri, one_r, x_tr, 0, down_ri.shape[0])
    begin = 0
    for p in range(part_p4.shape[0]):
        first, end, column, outputs = part_p4[p]
        for near in range(0, outputs, NEAR):
            far = min(near + NEAR, outputs)
            for t in range(x_ti.shape[0]):
                out_o = out_to[t, column + near : column + far]
                for r in range(first, end):
                    share, up_o = x_tr[t, r], up_n[begin + (r - first) * outputs + near :]
                    for o in range(far - near):
                        out_o[o] += share * wide(up_o[o])
        begin += (end - first) * outputs
