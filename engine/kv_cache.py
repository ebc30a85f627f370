"""Keys and values of running sequences, within a capacity that is known at start.

A sequence reserves room for its prompt and its whole answer before it runs, so a running one never fails for lack of
memory, and what cannot fit is refused when it arrives. This version gives each sequence one block of its own; sharing
of equal beginnings is not there yet.

Shapes: l layers, h key-value heads, p positions, d head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.config import ModelConfig
from engine.errors import EngineError


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence's keys and values. `filled` positions hold data; a step writes behind them."""

    keys_lhpd: Tensor
    values_lhpd: Tensor
    filled: int = 0

    @property
    def size(self) -> int:
        return int(self.keys_lhpd.shape[2])


class KvCache:
    """Hands out slots. Owned by the engine thread."""

    def __init__(self, config: ModelConfig, capacity: int, dtype: torch.dtype = torch.float32) -> None:
        self._config, self.capacity, self._dtype = config, capacity, dtype
        self._slots: set[int] = set()
        self.reserved = 0
        """Positions that are spoken for. Back to zero when nothing runs."""

    def has_room(self, positions: int) -> bool:
        return self.reserved + positions <= self.capacity

    def reserve(self, positions: int) -> Slot:
        if not self.has_room(positions):
            raise EngineError(f"no room for {positions} positions: {self.reserved} of {self.capacity} are reserved")
        shape = (len(self._config.layers), self._config.kv_heads, positions, self._config.head_dim)
        slot = Slot(torch.empty(shape, dtype=self._dtype), torch.empty(shape, dtype=self._dtype))
        self._slots.add(id(slot))
        self.reserved += positions
        return slot

    def release(self, slot: Slot) -> None:
        """Giving back twice is an error of the caller: the count of free positions would grow."""
        if id(slot) not in self._slots:
            raise EngineError("a slot was released that is not reserved")
        self._slots.remove(id(slot))
        self.reserved -= slot.size
