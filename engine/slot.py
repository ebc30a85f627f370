"""Where one sequence's keys and values lie.

A table of blocks for each kind of layers, by position: full layers keep all of them, chunked layers those since the
last border. Blocks lie in a row where that was possible, because attention then reads them without a copy. Blocks may
be there ahead of what is filled; those can be taken away again, the filled ones cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count as counting
from typing import TypeAlias

import torch
from torch import Tensor

from engine.pages import Pages, Places
from engine.prefix_tree import Node

Row: TypeAlias = tuple[int, ...]
"""The blocks of the same positions in all units of one kind; empty for a kind that the model does not have."""


_CHANGES = counting()


class Table:
    """The blocks of one kind of layers, from row `first` on."""

    def __init__(self, units: int, block: int, size: int) -> None:
        self._block = block
        self.first = 0
        self.rows: list[Row] = []
        self._places_up = torch.empty(units, -(-size // block) * block, dtype=torch.long)
        self._ends = [0] * units
        """So far positions are neighbours in memory, from the first row on."""
        self.changes = next(_CHANGES)
        """Another number, of all tables, whenever blocks came to lie elsewhere."""

    @property
    def end(self) -> int:
        """The first row that is not there."""
        return self.first + len(self.rows)

    def __getitem__(self, at: int) -> Row:
        return self.rows[at - self.first]

    def places(self, unit: int, first: int, end: int) -> Tensor:
        """Positions [first, end), one by one."""
        return self._places_up[unit, first:end]

    def starts(self, first: int) -> Tensor:
        """Where the blocks of rows from `first` on begin, [units, rows]."""
        return self._places_up[:, first * self._block : self.end * self._block : self._block]

    def seen(self, unit: int, first: int, end: int) -> Places:
        """The same, as a slice where they lie in a row."""
        if end > self._ends[unit]:
            return self.places(unit, first, end)
        begin = self.rows[0][unit] * self._block - self.first * self._block
        return slice(begin + first, begin + end)

    def append(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        self._place(self.end - len(rows), rows)

    def replace(self, at: int, row: Row) -> Row:
        """Another row in the place of one; the one that was there."""
        before, self.rows[at - self.first] = self[at], row
        self._place(at, [row])
        return before

    def drop_before(self, at: int) -> list[tuple[int, Row]]:
        """Forget rows before `at`, which becomes the first; those that were there."""
        cut = min(at, self.end) - self.first
        dropped = list(enumerate(self.rows[:cut], self.first))
        del self.rows[:cut]
        self.first = at
        self._measure([0] * len(self._ends))
        return dropped

    def drop_from(self, at: int) -> list[Row]:
        """Forget rows from `at` on; those that were there."""
        dropped = self.rows[max(0, at - self.first) :]
        del self.rows[max(0, at - self.first) :]
        self._ends = [min(end, self.end * self._block) for end in self._ends]
        return dropped

    def _place(self, at: int, rows: Sequence[Row]) -> None:
        if not self._ends or not rows:
            return
        self.changes = next(_CHANGES)
        starts_un = torch.tensor(rows).t() * self._block
        placed_unb = starts_un[:, :, None] + torch.arange(self._block)
        self._places_up[:, at * self._block : (at + len(rows)) * self._block] = placed_unb.flatten(1)
        self._measure([min(end, at * self._block) for end in self._ends])

    def _measure(self, known: Sequence[int]) -> None:
        for unit, end in enumerate(known):
            at = max(end // self._block, self.first)
            while at < self.end and (at == self.first or self[at][unit] == self[at - 1][unit] + 1):
                at += 1
            self._ends[unit] = at * self._block


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence's keys and values. `filled` positions hold data; a step writes behind them."""

    pages: Pages = field(repr=False)
    size: int
    """The most positions it may come to have."""
    full: Table = field(repr=False)
    chunked: Table = field(repr=False)
    root: Node = field(repr=False)
    path: list[Node] = field(default_factory=list, repr=False)
    """Rows held in the tree, from the first on. Where the table's row is another, that one is this sequence's own."""
    borrowed: dict[int, Node] = field(default_factory=dict, repr=False)
    """Rows of the chunked table that belong to the tree."""
    filled: int = 0
    taken_over: int = 0
    """Positions that did not have to be computed."""
    promised: int = 0
    """Up to here room is not taken away again: its text so far, and what the next step writes."""
    keeps_all: bool = False
    """Chunked layers keep what lies before a border, too: for who runs over borders in one go."""

    @property
    def room(self) -> int:
        """Positions that can be written: as far as both tables go."""
        layout = self.pages.layout
        return min(self.size, *(table.end * layout.block for table in (self.full, self.chunked)))

    def table(self, is_chunked: bool) -> Table:
        return self.chunked if is_chunked else self.full
