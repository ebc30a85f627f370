"""Attention of a packed batch over each sequence's own keys and values.

What a token may see follows from positions alone: all earlier ones in a full layer, those since the last multiple of
the chunk size in a chunked layer. A cache length or a padded width never enters, which is what goes wrong past a
chunk border elsewhere. No mask wider than one piece of a prompt is ever built.

Shapes: t tokens of the packed batch, q tokens of one piece, p positions seen, h heads, g groups of heads that share
keys, k key-value heads, d head dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.kv_cache import Slot


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


def attend(q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, pieces: list[Piece], layer: int, chunk: int | None) -> Tensor:
    """Write the new keys and values, then attend. Rows come back in the order they came in."""
    out_thd = torch.empty_like(q_thd)
    for piece in pieces:
        rows = slice(piece.row, piece.row + piece.count)
        piece.slot.keys_lhpd[layer, :, piece.start : piece.end] = k_tkd[rows].transpose(0, 1)
        piece.slot.values_lhpd[layer, :, piece.start : piece.end] = v_tkd[rows].transpose(0, 1)
        for start, end, first in spans(piece.start, piece.end, chunk):
            here = slice(piece.row + start - piece.start, piece.row + end - piece.start)
            keys_kpd = piece.slot.keys_lhpd[layer, :, first:end]
            values_kpd = piece.slot.values_lhpd[layer, :, first:end]
            out_thd[here] = _one(q_thd[here], keys_kpd, values_kpd)
    return out_thd


def spans(start: int, end: int, chunk: int | None) -> Iterator[tuple[int, int, int]]:
    """Parts [a, b) of [start, end) that do not cross a chunk border, each with the first position it may see."""
    if chunk is None:
        yield start, end, 0
        return
    while start < end:
        first = start // chunk * chunk
        stop = min(end, first + chunk)
        yield start, stop, first
        start = stop


def _one(q_qhd: Tensor, keys_kpd: Tensor, values_kpd: Tensor) -> Tensor:
    """The last q of p positions attend causally. One token needs no mask, and its heads share a product."""
    count, heads, d = q_qhd.shape
    groups, seen = heads // keys_kpd.shape[0], keys_kpd.shape[1]
    if count == 1:
        grouped_kgd = q_qhd.view(keys_kpd.shape[0], groups, d)
        return F.scaled_dot_product_attention(grouped_kgd, keys_kpd, values_kpd).view(1, heads, d)
    q_hqd = q_qhd.transpose(0, 1)
    keys_hpd = keys_kpd.repeat_interleave(groups, dim=0)
    values_hpd = values_kpd.repeat_interleave(groups, dim=0)
    if count == seen:
        out_hqd = F.scaled_dot_product_attention(q_hqd, keys_hpd, values_hpd, is_causal=True)
    else:
        mask_qp = torch.ones(count, seen, dtype=torch.bool).tril(diagonal=seen - count)
        out_hqd = F.scaled_dot_product_attention(q_hqd, keys_hpd, values_hpd, attn_mask=mask_qp)
    return out_hqd.transpose(0, 1)
