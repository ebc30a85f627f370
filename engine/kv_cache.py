"""Keys and values of running sequences, within a capacity that is known at start, and equal beginnings kept once.

A sequence reserves room for its prompt and its whole answer before it runs, so a running one never fails for lack of
memory, and what cannot fit is refused when it arrives. Room that nobody has reserved keeps what was computed before:
a prompt that begins like an earlier one takes that part over and computes the rest. Whole blocks are shared as they
are; of a block that agrees in part, that part is copied. All layers have all positions of a block, so a beginning of
any length can be taken over, also in models whose attention stays within chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.blocks import FreeBlocks, Pages
from engine.errors import EngineError
from engine.prefix_tree import Match, Node, PrefixTree
from engine.shape import ModelConfig

BLOCK = 16
"""Positions of one block."""


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence's keys and values. `filled` positions hold data; a step writes behind them."""

    pages: Pages = field(repr=False)
    size: int
    table: list[int] = field(repr=False)
    places_p: Tensor = field(repr=False)
    """Where in memory each position lies."""
    block: int
    in_a_row: int
    """So many positions from the first on are neighbours in memory."""
    root: Node = field(repr=False)
    path: list[Node] = field(default_factory=list, repr=False)
    """Blocks held in the tree, from the first on; those of the table that differ from them are this sequence's own."""
    filled: int = 0
    taken_over: int = 0
    """Positions that did not have to be computed."""


class KvCache:
    """Hands out slots. Owned by one model's lane."""

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        block: int = BLOCK,
        grain: int = 1,
    ) -> None:
        """`grain`: beginnings are taken over in multiples of so many positions; a multiple of `block`, or one."""
        self.block, self.grain = block, grain
        self.blocks = capacity // block
        self.pages = Pages(config, self.blocks * block, dtype)
        self._free, self._tree = FreeBlocks(self.blocks), PrefixTree(block)
        self._slots: set[int] = set()
        self.reserved = 0
        """Positions that running sequences have reserved, shared ones counted for each. Zero when nothing runs."""
        self.evicted = 0
        """Blocks that were forgotten to make room, since the start."""

    @property
    def capacity(self) -> int:
        return self.blocks * self.block

    @property
    def kept(self) -> int:
        """Blocks that hold an earlier beginning and that no running sequence uses."""
        return self._tree.unheld

    @property
    def held(self) -> int:
        """Blocks that running sequences use. Zero when nothing runs."""
        return self.blocks - self._free.count - self._tree.unheld

    def known(self, ids: Sequence[int], limit: int, salt: str = "") -> int:
        """How many of the first `limit` tokens a reservation would take over now."""
        match = self._tree.match(salt, ids, limit)
        return self._usable(len(match.path) * self.block + match.count)

    def reserve(self, positions: int, ids: Sequence[int] = (), limit: int = 0, salt: str = "") -> Slot | None:
        """Room for a text that begins with `ids`, up to `limit` of them taken over if known; None: no room now."""
        match = self._cut(self._tree.match(salt, ids, limit))
        wanted = -(-positions // self.block) - len(match.path)
        held = [*match.path, *([match.tail] if match.tail else [])]
        for node in held:
            self._tree.hold(node)
        if wanted > self._free.count + self._tree.unheld:
            for node in reversed(held):
                self._tree.let_go(node)
            return None if match.tail is None else self._reserve_without_tail(positions, ids, match, salt)
        return self._slot(positions, match, self._take(wanted), salt)

    def publish(self, slot: Slot, ids: Sequence[int], limit: int | None = None) -> None:
        """Let others take over what is filled: `ids` are its tokens, the first `limit` of which may be shared."""
        shared = self._usable(min(slot.filled, len(ids) if limit is None else limit))
        while (at := len(slot.path) * self.block) + self.block <= shared:
            parent = slot.path[-1] if slot.path else slot.root
            node = self._tree.insert(parent, tuple(ids[at : at + self.block]), slot.table[len(slot.path)])
            self._tree.hold(node)
            slot.path.append(node)

    def release(self, slot: Slot, ids: Sequence[int] = (), limit: int | None = None) -> None:
        """Give the room back; what was filled with `ids` stays known. Twice is an error of the caller."""
        if id(slot) not in self._slots:
            raise EngineError("a slot was released that is not reserved")
        self._slots.remove(id(slot))
        self.reserved -= slot.size
        self.publish(slot, ids, limit)
        kept = {node.block for node in slot.path} | self._keep_tail(slot, ids, limit)
        for node in reversed(slot.path):
            self._tree.let_go(node)
        slot.root.holders -= 1
        self._free.give([block for block in slot.table if block not in kept])

    def forget(self) -> None:
        """Keep nothing that no running sequence uses: what was computed may be unsound."""
        while self._tree.unheld:
            self._free.give([self._tree.evict()])
            self.evicted += 1

    def _reserve_without_tail(self, positions: int, ids: Sequence[int], match: Match, salt: str) -> Slot | None:
        """The block whose part would have been copied is the one that is needed."""
        return self.reserve(positions, ids, len(match.path) * self.block, salt)

    def _take(self, wanted: int) -> list[int]:
        while self._free.count < wanted:
            self._free.give([self._tree.evict()])
            self.evicted += 1
        return self._free.take(wanted)

    def _slot(self, positions: int, match: Match, own: list[int], salt: str) -> Slot:
        table = [*(node.block for node in match.path), *own]
        places_p = (torch.tensor(table)[:, None] * self.block + torch.arange(self.block)).flatten()[:positions]
        breaks = [at for at in range(1, len(table)) if table[at] != table[at - 1] + 1]
        in_a_row = min(positions, breaks[0] * self.block if breaks else positions)
        known = len(match.path) * self.block + match.count
        root = self._tree.root(salt)
        root.holders += 1
        slot = Slot(self.pages, positions, table, places_p, self.block, in_a_row, root, list(match.path), known, known)
        if match.tail is not None:
            self.pages.copy(match.tail.block * self.block, own[0] * self.block, match.count)
            self._tree.let_go(match.tail)
        self._slots.add(id(slot))
        self.reserved += positions
        return slot

    def _cut(self, match: Match) -> Match:
        if self.grain == 1:
            return match
        return Match(match.path[: self._usable(len(match.path) * self.block) // self.block])

    def _usable(self, positions: int) -> int:
        return positions // self.grain * self.grain

    def _keep_tail(self, slot: Slot, ids: Sequence[int], limit: int | None) -> set[int]:
        """The last, partly filled block stays known, too: growing texts go on in its middle."""
        at = len(slot.path) * self.block
        tokens = tuple(ids[at : min(slot.filled, len(ids) if limit is None else limit)])
        if self.grain > 1 or not tokens or len(slot.path) >= len(slot.table):
            return set()
        parent, own = slot.path[-1] if slot.path else slot.root, slot.table[len(slot.path)]
        if self._tree.knows(parent, tokens):
            return set()
        self._tree.insert(parent, tokens, own)
        return {own}
