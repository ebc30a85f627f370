"""A step in which every sequence gets one token, as one function of fixed shapes: what a CUDA graph can hold.

Ids, positions and tables of blocks are copied into buffers that stay where they are; everything else follows on the
device: where the new keys go, what each token sees, which experts it takes. The batch is rounded up to a few sizes;
rows that fill it up have position -1, write into a block that nobody has, and see nothing. A sequence's table is
copied when it has changed, which is every sixteenth token, and when the sequence has moved to another row.

Not here, and so one by one in the runner: several tokens of a sequence, patches of pictures, rows with an adapter
(their matrices have shapes of their own). Grammars, penalties and sampling come after the logits and do not matter.

Shapes: b rows, u units of blocks, l blocks of the longest text, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from engine.device import sent
from engine.gpu.graphs import Graphs
from engine.gpu.layers import Paged, through_rows
from engine.kv_cache import KvCache
from engine.kv_layout import Home, Layout
from engine.matrix import times
from engine.runner import Run
from engine.shape import ModelConfig
from engine.slot import Slot
from engine.weights import Weights

SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Rows of a step."""
NOBODY: Final = -1
"""The position of a row that only fills up."""


class Tables:
    """Where the blocks of one kind of layers begin, for each row, on the device."""

    def __init__(self, layout: Layout, is_chunked: bool, longest: int, rows: int, device: torch.device) -> None:
        self._layout, self._is_chunked, self._device = layout, is_chunked, device
        units = layout.chunked if is_chunked else layout.full
        columns = layout.rows_seen(is_chunked, longest)
        self.starts_ubl = torch.zeros(units, rows, columns, dtype=torch.int32, device=device)
        self._shown = [(NOBODY, NOBODY)] * rows

    def show(self, slots: Sequence[Slot]) -> None:
        """Copy those that are not there yet."""
        changed = [(at, slot) for at, slot in enumerate(slots) if self._state(slot) != self._shown[at]]
        if not changed or not len(self.starts_ubl):
            return
        most = self.starts_ubl.shape[2]
        found = [slot.table(self._is_chunked).starts(self._first(slot))[:, :most] for _, slot in changed]
        width = max(starts_ul.shape[1] for starts_ul in found)
        new_unl = torch.zeros(len(self.starts_ubl), len(found), width, dtype=torch.int32)
        for index, starts_ul in enumerate(found):
            new_unl[:, index, : starts_ul.shape[1]] = starts_ul
        rows_n = torch.tensor([at for at, _ in changed])
        self.starts_ubl[:, sent(rows_n, self._device), :width] = sent(new_unl, self._device)
        for at, slot in changed:
            self._shown[at] = self._state(slot)

    def _first(self, slot: Slot) -> int:
        """The first row of blocks that its next token sees."""
        return self._layout.border(slot.filled) // self._layout.block if self._is_chunked else 0

    def _state(self, slot: Slot) -> tuple[int, int]:
        return slot.table(self._is_chunked).changes, self._first(slot)


class Decode:
    """One token each for the sequences of one model."""

    def __init__(self, config: ModelConfig, weights: Weights, frequencies_r: Tensor, cache: KvCache) -> None:
        self._config, self._weights, self._frequencies_r, self._cache = config, weights, frequencies_r, cache
        device, rows = weights.embedding_vD.device, SIZES[-1]
        self._device = device
        self._given_2b = torch.zeros(2, rows, dtype=torch.long, device=device)
        self._given_2b[1].fill_(NOBODY)
        self._logits_bv = torch.zeros(rows, config.vocabulary, device=device)
        longest = min(config.max_positions, cache.capacity)
        self._tables = {kind: Tables(cache.layout, kind, longest, rows, device) for kind in (False, True)}
        self.graphs = Graphs(self._forward, SIZES)

    def takes(self, run: Run) -> bool:
        """Whether it is one token and nothing else."""
        return len(run.ids) == 1 and run.ids[0] >= 0 and run.adapter is None

    def logits(self, runs: Sequence[Run]) -> Tensor:
        """[s, v], one row for each that is wanted. Advances nothing; at most SIZES[-1] runs, in inference mode."""
        if any(run.slot.filled >= run.slot.room for run in runs):
            raise ValueError("a piece is longer than its slot")
        size = self.graphs.size_for(len(runs))
        filling = [0] * (size - len(runs))
        ids = [run.ids[0] for run in runs] + filling
        positions = [run.slot.filled for run in runs] + [NOBODY] * len(filling)
        self._given_2b[:, :size] = sent(torch.tensor([ids, positions]), self._device)
        for tables in self._tables.values():
            tables.show([run.slot for run in runs])
        self.graphs(size)
        wanted = [at for at, run in enumerate(runs) if run.wanted]
        found_bv = self._logits_bv[: len(runs)]
        return found_bv.clone() if len(wanted) == len(runs) else found_bv[sent(_long(wanted), self._device)]

    def _forward(self, size: int) -> None:
        """From the buffers to the buffer of logits; nothing that depends on what is in them."""
        config, weights = self._config, self._weights
        ids_b, positions_b = self._given_2b[:, :size]
        x_bD = weights.embedding_vD[ids_b]
        last_bD = through_rows(config, weights, self._frequencies_r, x_bD, positions_b, self._planned(size))
        self._logits_bv[:size] = times(last_bD.float(), weights.head_vD)

    def _planned(self, size: int) -> list[Paged]:
        """For every layer; worked out once for those that lie in the same blocks."""
        positions_b = self._given_2b[1, :size]
        placed = self._cache.layout.for_layers(lambda home: self._paged(positions_b, home))
        return [replace(paged, row=row) for paged, row in placed]

    def _paged(self, positions_b: Tensor, home: Home) -> Paged:
        layout = self._cache.layout
        starts_bl = self._tables[home.is_chunked].starts_ubl[home.unit, : len(positions_b)]
        block, seen_b, firsts_b = layout.block, positions_b.clamp(min=0), None
        if home.is_chunked:
            # Whole blocks since the one that holds the last border.
            border_b = seen_b // layout.chunk * layout.chunk
            firsts_b = border_b % block
            seen_b = seen_b - border_b + firsts_b
        own_b = starts_bl.gather(1, (seen_b // block)[:, None])[:, 0] + seen_b % block
        is_nobody_b = positions_b < 0
        # Not `where`: it would send its plain number from the host.
        writes_b = own_b.masked_fill(is_nobody_b, self._cache.scratch)
        lengths_b = (seen_b + 1).masked_fill(is_nobody_b, 0).to(torch.int32)
        return Paged(
            self._cache.pages, 0, writes_b, starts_bl, lengths_b, None if firsts_b is None else firsts_b.to(torch.int32)
        )


def _long(numbers: Sequence[int]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.long)
