"""What the encoder made of tiles, kept for as long as there is room, and the rows that one step of the model needs.

A tile is looked at when the prompt's tokens first reach it, in the step that needs its rows, so a picture whose keys
and values are known already costs nothing, and no step looks at more tiles than its tokens reach. Prompts go through in
pieces, and a conversation comes back with the same pictures: rows are kept by the picture's digest, the longest unused
go first.

Shapes: n rows of a tile, D hidden of the text model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor

from engine.vision.prompt import Placed
from engine.vision.tiles import Picture

KEPT_BYTES = 256 * 1024 * 1024


class Sees(Protocol):
    """The encoder."""

    def see(self, pixels: Tensor) -> Tensor:
        """Rows [n, D] of one tile."""


class Features:
    """Rows of tiles. Used by one model's thread at a time."""

    def __init__(self, encoder: Sees, patches: int, kept_bytes: int = KEPT_BYTES) -> None:
        """`patches`: rows of a tile."""
        self._encoder, self._patches, self._limit = encoder, patches, kept_bytes
        self._rows: OrderedDict[tuple[bytes, int], Tensor] = OrderedDict()
        self.kept = 0
        """Bytes of the rows that are kept."""
        self.seen = 0
        """Tiles that were looked at, since the start."""

    def rows(self, pictures: Sequence[Placed], start: int, end: int) -> Iterator[tuple[int, Tensor]]:
        """For positions [start, end) of a prompt: (position, rows from there on) of each tile that lies in them."""
        for placed in pictures:
            for tile, begin in enumerate(placed.begins):
                if begin < end and start < begin + self._patches:
                    rows_nD = self._tile(placed.picture, tile)
                    yield max(begin, start), rows_nD[max(start - begin, 0) : end - begin]

    def _tile(self, picture: Picture, tile: int) -> Tensor:
        key = picture.digest, tile
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        rows_nD = self._encoder.see(picture.tiles[tile])
        self.seen += 1
        self._rows[key] = rows_nD
        self.kept += rows_nD.nbytes
        while self.kept > self._limit and len(self._rows) > 1:
            self.kept -= self._rows.popitem(last=False)[1].nbytes
        return rows_nD
