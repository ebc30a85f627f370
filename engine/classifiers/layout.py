"""Texts of different lengths laid end to end, so that no layer but attention computes for padding.

Attention needs texts side by side. Texts of about one length are grouped for it and padded to the longest of their
group, so a group's padding is small, stays inside attention, and is masked there. Rows are put into the groups' order
once, before the embedding; `first_b` leads from each text, in the caller's order, to its first row.

Letters: t rows of all texts and of the filling, b texts, n texts of a group, L rows of the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FILL = 16
"""Rows of a batch are a multiple of this. A matrix kernel is made for each new number of rows, which takes 2 ms."""
NEAR = 0.7
"""A text joins a group whose longest is at most 1 / NEAR times as long."""
SHORT = 48
"""Texts up to this length share a group: their attention costs less than the calls for another group."""


@dataclass(frozen=True, slots=True)
class Group:
    """`count` texts in the rows from `start` to `stop`, to be padded to `length` each."""

    start: int
    stop: int
    count: int
    length: int
    gather: Tensor | None
    """For each of count × length places the row that stands there; None when all texts have that length."""
    real: Tensor | None
    """The places that hold a text's own row, in the order of the rows."""
    absent_nL: Tensor | None
    """True where a place is padding."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One batch, ready for a model."""

    ids_t: Tensor
    place_t: Tensor
    """Each row's place in its own text, from zero."""
    groups: tuple[Group, ...]
    first_b: Tensor
    filling: int
    """Rows at the end that belong to no text."""
    lengths: tuple[int, ...]
    """Of the texts in the order of the rows."""


def lay_out(batch: Sequence[Sequence[int]], fill_id: int, device: torch.device | None = None) -> Layout:
    """Longest first, so that neighbours are alike. Every text needs at least one token."""
    order = sorted(range(len(batch)), key=lambda index: -len(batch[index]))
    lengths = [len(batch[index]) for index in order]
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    filling = -starts[-1] % FILL
    first = [0] * len(batch)
    for index, start in zip(order, starts, strict=False):
        first[index] = start
    ids = [token for index in order for token in batch[index]]
    places = [place for length in lengths for place in range(length)]
    return Layout(
        ids_t=torch.tensor([*ids, *[fill_id] * filling], device=device),
        place_t=torch.tensor([*places, *[0] * filling], device=device),
        groups=tuple(_group(starts, lengths, a, b, device) for a, b in _cuts(lengths)),
        first_b=torch.tensor(first, device=device),
        filling=filling,
        lengths=tuple(lengths),
    )


def _cuts(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of texts that share a group."""
    cuts, begun = [], 0
    for index, length in enumerate(lengths):
        if length < NEAR * lengths[begun] and lengths[begun] > SHORT:
            cuts.append((begun, index))
            begun = index
    return [*cuts, (begun, len(lengths))]


def _group(starts: Sequence[int], lengths: Sequence[int], begun: int, end: int, device: torch.device | None) -> Group:
    """Made on the CPU and sent over whole: asking a GPU where the gaps are would wait for it."""
    start, stop, longest = starts[begun], starts[end], lengths[begun]
    if lengths[end - 1] == longest:
        return Group(start, stop, end - begun, longest, None, None, None)
    place_L = torch.arange(longest)
    absent_nL = place_L[None, :] >= torch.tensor(lengths[begun:end])[:, None]
    first_n = torch.tensor(starts[begun:end])
    # A padded place repeats its text's first row: a real number that the mask keeps from counting.
    gather_nL = first_n[:, None] + place_L[None, :].masked_fill(absent_nL, 0)
    real = (~absent_nL).reshape(-1).nonzero()[:, 0]
    sent = (one.to(device) for one in (gather_nL.reshape(-1), real, absent_nL))
    return Group(start, stop, end - begun, longest, *sent)
