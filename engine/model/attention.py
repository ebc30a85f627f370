"""Attention of a packed batch over each sequence's own keys and values.

What a token may see follows from positions alone: all earlier ones in a full layer, those since the last multiple of
the chunk size in a chunked layer. A cache length or a padded width never enters, which is what goes wrong past a
chunk border elsewhere. Where things lie in memory is worked out once for a step and used by all layers.

Shapes: t tokens of the packed batch, p positions seen, h heads, k key-value heads, d head dimension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.device import sent
from engine.gpu import attention as on_gpu
from engine.kv_layout import Home
from engine.model.causal import causal
from engine.pages import Pages, Places
from engine.slot import Slot


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive tokens of one sequence: rows [row, row + count) of the batch, positions from `start` on."""

    slot: Slot
    row: int
    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Span:
    """Some rows that attend together: to the same places, causally."""

    rows: slice
    seen: Places


@dataclass(frozen=True, slots=True)
class Plan:
    """What attention does in one step, in layers that lie in the same blocks."""

    pages: Pages
    writes_t: Tensor
    """Where the new keys and values go."""
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's part of a plan."""

    plan: Plan
    row: int
    """Which layer of a block."""

    def attend(self, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Write the new keys and values, then attend. Rows come back in the order they came in."""
        pages = self.plan.pages
        pages.write(self.row, self.plan.writes_t, k_tkd, v_tkd)
        look = on_gpu.causal if q_thd.is_cuda else causal
        out_thd = torch.empty_like(q_thd)
        for span in self.plan.spans:
            out_thd[span.rows] = look(q_thd[span.rows], *pages.read(self.row, span.seen))
        return out_thd


def plans(pieces: Sequence[Piece]) -> list[Layer]:
    """For every layer. ValueError when a piece would write where its slot has no room."""
    require_room(pieces)
    layout = pieces[0].slot.pages.layout
    return [Layer(plan, row) for plan, row in layout.for_layers(lambda home: _plan(pieces, home))]


def require_room(pieces: Sequence[Piece]) -> None:
    """ValueError when a piece would write where its slot has no room."""
    if any(piece.end > piece.slot.room for piece in pieces):
        raise ValueError("a piece is longer than its slot")


def _plan(pieces: Sequence[Piece], home: Home) -> Plan:
    pages = pieces[0].slot.pages
    chunk = pages.layout.chunk if home.is_chunked else None
    device = pages.keys_lkpd.device
    writes, spans = [], []
    for piece in pieces:
        table = piece.slot.table(home.is_chunked)
        writes.append(table.places(home.unit, piece.start, piece.end))
        for start, end, first in spans_of(piece.start, piece.end, chunk):
            rows = slice(piece.row + start - piece.start, piece.row + end - piece.start)
            seen = table.seen(home.unit, first, end)
            spans.append(Span(rows, seen if isinstance(seen, slice) else sent(seen, device)))
    return Plan(pages, sent(torch.cat(writes), device), tuple(spans))


def spans_of(start: int, end: int, chunk: int | None) -> Iterator[tuple[int, int, int]]:
    """Parts [a, b) of [start, end) that do not cross a chunk border, each with the first position it may see."""
    if chunk is None:
        yield start, end, 0
        return
    while start < end:
        first = start // chunk * chunk
        stop = min(end, first + chunk)
        yield start, stop, first
        start = stop
