"""Memory for keys and values in blocks, and which of its blocks are free.

All layers share one table: block b of a sequence lies at the same place in every layer. A sequence's blocks lie in a
row where that is possible, because attention then reads them without a copy. What is taken must be given back exactly
once; anything else is an error of the caller.

Shapes: l layers, k key-value heads, p positions of the whole memory, d head dimension.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.errors import EngineError
from engine.shape import ModelConfig


class Pages:
    """The tensors. Nothing is written before it is used, so memory is taken from the system as it fills."""

    def __init__(self, config: ModelConfig, positions: int, dtype: torch.dtype) -> None:
        shape = (len(config.layers), config.kv_heads, positions, config.head_dim)
        self.keys_lkpd: Tensor = torch.empty(shape, dtype=dtype)
        self.values_lkpd: Tensor = torch.empty(shape, dtype=dtype)

    def copy(self, source: int, target: int, count: int) -> None:
        """`count` positions from one place to another, in all layers."""
        for pool in (self.keys_lkpd, self.values_lkpd):
            pool[:, :, target : target + count] = pool[:, :, source : source + count]


class FreeBlocks:
    """Free blocks as runs of neighbours, in order of their place."""

    def __init__(self, count: int) -> None:
        self._starts, self._ends = ([0], [count]) if count else ([], [])
        self.count = count

    def take(self, wanted: int) -> list[int]:
        """Neighbours from the lowest place that has enough of them, else as few runs as possible."""
        if wanted > self.count:
            raise EngineError(f"{wanted} blocks were asked for, {self.count} are free")
        taken: list[int] = []
        while len(taken) < wanted:
            taken += self._cut(wanted - len(taken))
        self.count -= wanted
        return taken

    def give(self, blocks: Sequence[int]) -> None:
        for block in blocks:
            self._join(block)
        self.count += len(blocks)

    def _cut(self, wanted: int) -> range:
        sizes = [end - start for start, end in zip(self._starts, self._ends, strict=True)]
        at = next((index for index, size in enumerate(sizes) if size >= wanted), None)
        if at is None:
            at = max(range(len(sizes)), key=sizes.__getitem__)
        start = self._starts[at]
        end = min(start + wanted, self._ends[at])
        if end == self._ends[at]:
            del self._starts[at], self._ends[at]
        else:
            self._starts[at] = end
        return range(start, end)

    def _join(self, block: int) -> None:
        at = bisect_right(self._starts, block)
        if at and block < self._ends[at - 1]:
            raise EngineError(f"block {block} was given back and is free already")
        follows = at > 0 and self._ends[at - 1] == block
        precedes = at < len(self._starts) and self._starts[at] == block + 1
        if follows and precedes:
            self._ends[at - 1] = self._ends[at]
            del self._starts[at], self._ends[at]
        elif follows:
            self._ends[at - 1] = block + 1
        elif precedes:
            self._starts[at] = block
        else:
            self._starts.insert(at, block)
            self._ends.insert(at, block + 1)
