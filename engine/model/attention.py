"""Attention of a packed batch over each sequence's own keys and values.

What a token may see follows from positions alone: all earlier ones in a full layer, those since the last multiple of
the chunk size in a chunked layer. A cache length or a padded width never enters, which is what goes wrong past a
chunk border elsewhere. Where things lie in memory is worked out once for a step and used by all layers.

Shapes: t tokens of the packed batch, p positions seen, h heads, k key-value heads, d head dimension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from engine.blocks import Pages
from engine.kv_cache import Slot
from engine.model.causal import causal

Places: TypeAlias = slice | Tensor
"""Where positions lie: in a row, or one by one."""


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
    """What attention of one kind of layer does in one step."""

    pages: Pages
    writes_t: Tensor
    """Where the new keys and values go."""
    spans: tuple[Span, ...]


def plan(pieces: Sequence[Piece], chunk: int | None) -> Plan:
    """ValueError when a piece would write outside its slot."""
    if any(piece.end > piece.slot.size for piece in pieces):
        raise ValueError("a piece is longer than its slot")
    writes_t = torch.cat([piece.slot.places_p[piece.start : piece.end] for piece in pieces])
    spans = [
        _span(piece, start, end, first)
        for piece in pieces
        for start, end, first in spans_of(piece.start, piece.end, chunk)
    ]
    return Plan(pieces[0].slot.pages, writes_t, tuple(spans))


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


def attend(q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, planned: Plan, layer: int) -> Tensor:
    """Write the new keys and values, then attend. Rows come back in the order they came in."""
    keys_kpd, values_kpd = planned.pages.keys_lkpd[layer], planned.pages.values_lkpd[layer]
    keys_kpd[:, planned.writes_t] = k_tkd.transpose(0, 1)
    values_kpd[:, planned.writes_t] = v_tkd.transpose(0, 1)
    out_thd = torch.empty_like(q_thd)
    for span in planned.spans:
        out_thd[span.rows] = causal(q_thd[span.rows], keys_kpd[:, span.seen], values_kpd[:, span.seen])
    return out_thd


def _span(piece: Piece, start: int, end: int, first: int) -> Span:
    rows = slice(piece.row + start - piece.start, piece.row + end - piece.start)
    slot = piece.slot
    if end <= slot.in_a_row:
        begin = slot.table[0] * slot.block
        seen: Places = slice(begin + first, begin + end)
    else:
        seen = slot.places_p[first:end]
    return Span(rows, seen)
