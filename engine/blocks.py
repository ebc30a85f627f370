"""Which blocks of the memory for keys and values are free.

Blocks that are taken together are neighbours where that is possible, because attention then reads them without a copy.
What is taken must be given back exactly once; anything else is an error of the caller.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from engine.errors import EngineError


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

    def give(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            self._join(block)
            self.count += 1

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
