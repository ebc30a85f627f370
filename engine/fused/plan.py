"""Where the rows of one step lie in the memory of keys, as arrays: worked out once, used by all layers.

Shapes: t tokens, n places of all pieces behind one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.fused.loops import Ints
from engine.kv_layout import Home, Layout
from engine.model.attention import Piece, require_room


@dataclass(frozen=True, slots=True)
class Seen:
    """Row t sees seen_n[begin_t:end_t] and writes to the last of them."""

    seen_n: Ints
    begin_t: Ints
    end_t: Ints
    place_t: Ints


def plans(pieces: Sequence[Piece], layout: Layout) -> list[Seen]:
    """For every layer. Rows are in the order of the pieces. ValueError when a piece has no room in its slot."""
    require_room(pieces)
    return [
        seen for seen, _ in layout.for_layers(lambda home: _seen(pieces, home, layout.chunk if home.is_chunked else 0))
    ]


def _seen(pieces: Sequence[Piece], home: Home, chunk: int) -> Seen:
    parts, begins, ends, before = [], [], [], 0
    for piece in pieces:
        first = _first(piece.start, chunk)
        parts.append(piece.slot.table(home.is_chunked).places(home.unit, first, piece.end).numpy())
        for position in range(piece.start, piece.end):
            begins.append(before + _first(position, chunk) - first)
            ends.append(before + position + 1 - first)
        before += piece.end - first
    seen_n, end_t = np.concatenate(parts), np.array(ends)
    return Seen(seen_n, np.array(begins), end_t, seen_n[end_t - 1])


def _first(position: int, chunk: int) -> int:
    """What a token there sees first."""
    return position // chunk * chunk if chunk else 0
