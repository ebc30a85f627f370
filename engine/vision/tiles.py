"""A decoded picture cut into the tiles that a model looks at, and the digest that stands for what it sees.

The digest covers every pixel of every tile, so two pictures with one digest are one to the model: what was computed
for one may serve the other, and nothing else may.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from engine.vision.canvas import ONE, Grid, fitted, grid_for

BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Tiles [n, 3, side, side] of bytes, in the order of the prompt: by rows, then the whole picture."""

    grid: Grid
    tiles: Tensor = field(repr=False)
    digest: bytes


def cut(image: Image.Image, side: int, is_small: bool = False) -> Picture:
    """`is_small`: one tile, whatever the picture's size."""
    grid = ONE if is_small else grid_for(*image.size, side)
    canvas = Image.new("RGB", (grid.columns * side, grid.rows * side))
    canvas.paste(image.resize(fitted(*image.size, grid, side), BILINEAR))
    tiles = _bytes(canvas).view(3, grid.rows, side, grid.columns, side).permute(1, 3, 0, 2, 4)
    tiles = tiles.reshape(grid.area, 3, side, side)
    if grid.area > 1:
        tiles = torch.cat([tiles, _bytes(image.resize((side, side), BILINEAR))[None]])
    shape = f"{grid.rows} {grid.columns} {side}\n".encode()
    return Picture(grid, tiles, hashlib.sha256(shape + tiles.numpy().tobytes()).digest())


def _bytes(image: Image.Image) -> Tensor:
    """Colours first: [3, height, width]."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, 3).permute(2, 0, 1).contiguous()
