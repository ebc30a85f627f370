"""How a picture is laid on tiles, and how many tokens that makes: arithmetic, known before a pixel is decoded.

Llama 4 looks at square tiles. A picture goes onto the canvas, of at most sixteen tiles, that enlarges it least; if each
would have to shrink it, onto the one that shrinks it least; among equals onto the smallest. It is never distorted and
never enlarged beyond one tile; what is left of the canvas stays black. More than one tile is followed by the whole
picture once more, as one tile. The floating-point steps are those the models were trained with: another rounding would
be another size now and then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_TILES = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows and columns of tiles."""

    rows: int
    columns: int

    @property
    def area(self) -> int:
        return self.rows * self.columns

    @property
    def tiles(self) -> int:
        """With the one that shows the whole picture."""
        return self.area + (self.area > 1)

    def tokens(self, patches: int) -> int:
        """Of a prompt: the patches of all tiles and what stands around and between them."""
        separators = self.area if self.area > 1 else 0
        return self.tiles * patches + separators + 3


GRIDS = tuple(
    Grid(rows, columns)
    for rows in range(1, MOST_TILES + 1)
    for columns in range(1, MOST_TILES + 1)
    if rows * columns <= MOST_TILES
)
ONE = Grid(1, 1)


def grid_for(width: int, height: int, side: int) -> Grid:
    """The canvas of tiles of `side` pixels for a picture of this size."""

    def scale(grid: Grid) -> float:
        return min(grid.columns * side / width, grid.rows * side / height)

    enlarging = [scale(grid) for grid in GRIDS if scale(grid) >= 1]
    best = min(enlarging) if enlarging else max(map(scale, GRIDS))
    return min((grid for grid in GRIDS if scale(grid) == best), key=lambda grid: grid.area)


def fitted(width: int, height: int, grid: Grid, side: int) -> tuple[int, int]:
    """Width and height of the picture on its canvas."""
    across = min(max(width, side), grid.columns * side)
    down = min(max(height, side), grid.rows * side)
    scale_w, scale_h = across / width, down / height
    if scale_w < scale_h:
        return across, max(1, min(math.floor(height * scale_w), down))
    return max(1, min(math.floor(width * scale_h), across)), down
