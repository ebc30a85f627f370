"""How keys and values are divided into blocks, by arithmetic: which layer lies where, and what a text needs.

Layers are of two kinds. Full layers look at all earlier positions, so their keys grow with the text; chunked layers
look back to the last border only, so they never need more than one chunk. All blocks are of one size, 16 positions of
as many layers as both kinds can be divided into, so that one memory serves both and a block that a chunked layer gave
back may hold a full layer's keys next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import TypeVar

from engine.shape import ModelConfig

Made = TypeVar("Made")
BLOCK = 16
"""Positions of one block."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where one layer's keys and values lie."""

    is_chunked: bool
    unit: int
    """Which of the blocks that its kind has for each 16 positions."""
    row: int
    """Which layer of that block."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The division of one model."""

    block: int
    depth: int
    """Layers of one block."""
    full: int
    """Blocks that full layers need for each `block` positions."""
    chunked: int
    """The same of chunked layers."""
    chunk: int
    """Zero where no layer is chunked."""
    homes: tuple[Home, ...]

    @property
    def units(self) -> int:
        """Blocks for each `block` positions while all of them are kept in all layers."""
        return self.full + self.chunked

    def for_layers(self, make: Callable[[Home], Made]) -> list[tuple[Made, int]]:
        """What is made for each layer, and its row; made once for all that lie in the same blocks, for the first."""
        made: dict[tuple[bool, int], Made] = {}
        for home in self.homes:
            if (home.is_chunked, home.unit) not in made:
                made[home.is_chunked, home.unit] = make(home)
        return [(made[home.is_chunked, home.unit], home.row) for home in self.homes]

    def border(self, position: int) -> int:
        """The last border up to `position`: chunked layers see nothing before it from there on."""
        return position // self.chunk * self.chunk if self.chunk else 0

    def next_border(self, position: int) -> int | None:
        """The first border behind `position`; None where there is none."""
        return self.border(position) + self.chunk if self.chunk else None

    def rows_seen(self, is_chunked: bool, positions: int) -> int:
        """The most rows of blocks that a layer of that kind looks at, in a text of so many positions."""
        rows = -(-positions // self.block)
        return min(rows, self._window) if is_chunked else rows

    def needed(self, positions: int) -> int:
        """The most blocks that one text ever needs while it grows to so many positions."""
        rows = -(-positions // self.block)
        return rows * self.full + min(rows, self._window) * self.chunked

    def longest(self, blocks: int) -> int:
        """The longest text that has room in so many blocks."""
        rows = blocks // self.units
        if rows >= self._window and self.chunked:
            rows = (blocks - self._window * self.chunked) // self.full if self.full else UNBOUNDED
        return rows * self.block

    @property
    def _window(self) -> int:
        """Rows of blocks that hold a chunk: one more where borders do not fall between blocks."""
        return -(-self.chunk // self.block) + (1 if self.chunk % self.block else 0)


UNBOUNDED = 2**40
"""Rows of a text that no layer keeps the whole of: only the model's own limit holds."""


def layout_of(config: ModelConfig, block: int = BLOCK) -> Layout:
    """A chunk that no text reaches the end of is no chunk."""
    is_chunked = [layer.chunk is not None and layer.chunk < config.max_positions for layer in config.layers]
    chunked = sum(is_chunked)
    full = len(is_chunked) - chunked
    depth = gcd(full, chunked)
    counted = {False: 0, True: 0}
    homes = []
    for kind in is_chunked:
        homes.append(Home(kind, *divmod(counted[kind], depth)))
        counted[kind] += 1
    chunk = max((layer.chunk or 0 for layer in config.layers), default=0) if chunked else 0
    return Layout(block, depth, full // depth, chunked // depth, chunk, tuple(homes))
