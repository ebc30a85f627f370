"""Keys and values of running sequences, within a capacity that is known at start, and equal beginnings kept once.

A sequence takes the blocks that its text needs, ahead of time if there are enough, and gives back what chunked layers
no longer look at whenever it has passed a border. What cannot fit even alone is refused when it arrives; whether
another has to yield is the scheduler's decision. Room that nobody uses keeps what was computed before: a prompt that
begins like an earlier one takes that part over and computes the rest. Whole blocks are shared as they are; of a block
that agrees in part, that part is copied. A beginning can be gone on from where all full layers have it, and chunked
layers have what lies behind the last border before its end; else it is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from engine.blocks import FreeBlocks
from engine.device import CPU
from engine.errors import EngineError
from engine.kv_layout import BLOCK, layout_of
from engine.pages import pages_of
from engine.prefix_tree import Match, Node, PrefixTree
from engine.shape import ModelConfig
from engine.slot import Row, Slot, Table


class KvCache:
    """Hands out slots. Owned by one model's lane."""

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        block: int = BLOCK,
        grain: int = 1,
        kept_as: str = "auto",
        device: torch.device = CPU,
    ) -> None:
        """`capacity`: positions, were all of them kept in all layers.

        `grain`: beginnings are taken over in multiples of so many positions; a multiple of `block`, or one.
        """
        self.block, self.grain = block, grain
        self.layout = layout_of(config, block)
        self.blocks = capacity // block * self.layout.units
        with torch.device(device):
            # One block more, which nobody is given: rows that only fill up a batch write there.
            self.pages = pages_of(config, self.layout, self.blocks + 1, dtype, kept_as)
        self.scratch = self.blocks * block
        """Where it begins."""
        self._free, self._tree = FreeBlocks(self.blocks), PrefixTree(block, grain)
        self._slots: set[int] = set()
        self.reserved = 0
        """Positions that running sequences may come to have. Zero when nothing runs."""
        self.evicted = 0
        """Blocks that were forgotten to make room, since the start."""

    @property
    def capacity(self) -> int:
        """The longest text that there is room for while nothing else runs."""
        return self.layout.longest(self.blocks)

    @property
    def kept(self) -> int:
        """Blocks that hold an earlier beginning and that no running sequence uses."""
        return self._tree.unheld

    @property
    def held(self) -> int:
        """Blocks that running sequences use. Zero when nothing runs."""
        return self.blocks - self.available

    @property
    def available(self) -> int:
        """Blocks that could be had now."""
        return self._free.count + self._tree.unheld

    def known(self, ids: Sequence[int], limit: int, salt: str = "") -> int:
        """How many of the first `limit` tokens a reservation would take over now."""
        return self._length(self._usable(self._tree.match(salt, ids, limit)))

    def reserve(
        self,
        positions: int,
        ids: Sequence[int] = (),
        limit: int = 0,
        salt: str = "",
        now: int | None = None,
        spared: int = 0,
        keeps_all: bool = False,
    ) -> Slot | None:
        """A slot for a text that begins with `ids`, up to `limit` of them taken over if known; None: no room now.

        It has room for all `positions`, or at least for the first `now`, then with `spared` blocks left for others.
        """
        match = self._usable(self._tree.match(salt, ids, limit))
        slot = self._slot(positions, match, salt, keeps_all)
        if self._extend(slot, positions) or (now is not None and self._extend(slot, now, spared)):
            self._copy_tail(slot, match)
            self._slots.add(id(slot))
            self.reserved += positions
            slot.promised = len(ids)
            return slot
        self._let_go(slot, match.tail)
        if match.tail is None:
            return None
        # The block whose part would have been copied may be the one that is needed.
        return self.reserve(positions, ids, len(match.path) * self.block, salt, now, spared, keeps_all)

    def grow(self, slot: Slot, end: int) -> bool:
        """Room for the positions before `end`, which pass no border, and for all that follow if there is enough."""
        has_room = end <= slot.room or self._extend(slot, slot.size) or self._extend(slot, end)
        slot.promised = max(slot.promised, end if has_room else 0)
        return has_room

    def trim(self, slot: Slot) -> None:
        """Give back what lies ahead of what is filled or promised."""
        for table in (slot.full, slot.chunked):
            for row in table.drop_from(-(-max(slot.filled, slot.promised) // self.block)):
                self._free.give(row)

    def merge(self, slot: Slot) -> None:
        """Give back what others, too, have computed, and take theirs."""
        for at, node in enumerate(slot.path):
            if slot.full[at] != node.full:
                self._free.give(slot.full.replace(at, node.full))
            if at >= slot.chunked.first and at not in slot.borrowed and node.chunked:
                self._free.give(slot.chunked.replace(at, node.chunked))
                self._borrow(slot, at, node)

    def publish(self, slot: Slot, ids: Sequence[int], limit: int | None = None) -> None:
        """Let others take over what is filled: `ids` are its tokens, the first `limit` of which may be shared.

        What chunked layers have of it before the last border is not held any longer; the room of the next chunk is
        taken at once, before somebody else takes what has just become free.
        """
        self._publish(slot, ids, limit)
        if self.layout.chunked and not slot.keeps_all and self._passed_border(slot) and slot.filled < slot.size:
            self._extend(slot, slot.size)

    def _publish(self, slot: Slot, ids: Sequence[int], limit: int | None) -> None:
        shared = min(slot.filled, len(ids) if limit is None else limit) // self.grain * self.grain
        while (begin := len(slot.path) * self.block) + self.block <= shared:
            at = len(slot.path)
            row = slot.chunked[at] if at >= slot.chunked.first else None
            node = self._tree.insert(_last(slot), self._tree.row(ids, begin), slot.full[at], row)
            self._tree.hold(node)
            slot.path.append(node)
            if row and node.chunked is row:
                self._borrow(slot, at, node)

    def release(self, slot: Slot, ids: Sequence[int] = (), limit: int | None = None) -> None:
        """Give the room back; what was filled with `ids` stays known. Twice is an error of the caller."""
        if id(slot) not in self._slots:
            raise EngineError("a slot was released that is not reserved")
        self._slots.remove(id(slot))
        self.reserved -= slot.size
        self._publish(slot, ids, limit)
        kept = self._keep_tail(slot, ids, limit)
        own = [row for at, row in enumerate(slot.full.rows) if at >= len(slot.path) or slot.path[at].full != row]
        own += [row for at, row in enumerate(slot.chunked.rows, slot.chunked.first) if at not in slot.borrowed]
        self._let_go(slot, None)
        for row in own:
            self._free.give(block for block in row if block not in kept)

    def forget(self) -> None:
        """Keep nothing that no running sequence uses: what was computed may be unsound."""
        while not self._tree.is_all_held:
            self._evict()

    def _slot(self, positions: int, match: Match, salt: str, keeps_all: bool) -> Slot:
        """With what is known, all of it held, and no room yet."""
        known = self._length(match)
        first = 0 if keeps_all else self.layout.border(known) // self.block
        full, chunked = (Table(units, self.block, positions) for units in (self.layout.full, self.layout.chunked))
        root = self._tree.root(salt)
        root.holders += 1
        slot = Slot(self.pages, positions, full, chunked, root, list(match.path), {}, known, known, keeps_all=keeps_all)
        for node in (*match.path, *([match.tail] if match.tail else [])):
            self._tree.hold(node)
        full.append([node.full for node in match.path])
        chunked.drop_before(first)
        behind = match.path[first:]
        chunked.append([node.chunked or () for node in behind])
        for at, node in enumerate(behind, first):
            self._borrow(slot, at, node)
        if match.tail is not None and match.tail.chunked:
            self._tree.hold_chunked(match.tail)
        return slot

    def _borrow(self, slot: Slot, at: int, node: Node) -> None:
        if node.chunked:
            self._tree.hold_chunked(node)
            slot.borrowed[at] = node

    def _extend(self, slot: Slot, end: int, spared: int = 0) -> bool:
        """Rows up to `end`, of chunked layers up to the next border; nothing changes if there is no room."""
        border = None if slot.keeps_all else self.layout.next_border(slot.filled)
        parts = (
            (slot.full, self.layout.full, end),
            (slot.chunked, self.layout.chunked, end if border is None else min(end, border)),
        )
        wanted = [(table, units, max(0, -(-upto // self.block) - table.end)) for table, units, upto in parts]
        blocks = sum(units * count for _, units, count in wanted)
        if blocks + spared > self.available:
            return False
        while self._free.count < blocks:
            self._evict()
        for table, units, count in wanted:
            table.append(_rows([self._free.take(count) for _ in range(units)], count))
        return True

    def _copy_tail(self, slot: Slot, match: Match) -> None:
        """The part of a row that is known, into the first row of its own."""
        if match.tail is None:
            return
        at, tail = len(match.path), match.tail
        for sources, targets in ((tail.full, slot.full[at]), (tail.chunked or (), slot.chunked[at])):
            for source, target in zip(sources, targets, strict=False):
                self.pages.copy(source * self.block, target * self.block, match.count)
        self._let_go_of(tail, bool(tail.chunked))

    def _let_go(self, slot: Slot, tail: Node | None) -> None:
        if tail is not None:
            self._let_go_of(tail, bool(tail.chunked))
        for at, node in reversed(list(enumerate(slot.path))):
            self._let_go_of(node, at in slot.borrowed)
        slot.root.holders -= 1
        self._tree.forget_if_empty(slot.root)

    def _let_go_of(self, node: Node, is_chunked_held: bool) -> None:
        if is_chunked_held:
            self._tree.let_go_chunked(node)
        self._tree.let_go(node)

    def _passed_border(self, slot: Slot) -> bool:
        """Whether there was something to give back."""
        first = max(slot.chunked.first, self.layout.border(slot.filled) // self.block)
        dropped = slot.chunked.drop_before(first)
        for at, row in dropped:
            if at in slot.borrowed:
                self._tree.let_go_chunked(slot.borrowed.pop(at))
            else:
                self._free.give(row)
        return bool(dropped)

    def _evict(self) -> None:
        blocks = self._tree.evict()
        self._free.give(blocks)
        self.evicted += len(blocks)

    def _usable(self, match: Match) -> Match:
        """The longest beginning of it that can be gone on from."""
        length = self._length(match)
        while (usable := self._covered(match, length // self.grain * self.grain)) < length:
            length = usable
        whole, rest = divmod(length, self.block)
        nodes = (*match.path, match.tail)
        return Match(match.path[:whole], nodes[whole] if rest else None, rest)

    def _covered(self, match: Match, length: int) -> int:
        """How many of the first `length` positions can be gone on from, chunked layers looking back to the border."""
        if not self.layout.chunked:
            return length
        border, nodes = self.layout.border(length), (*match.path, match.tail)
        at = border // self.block
        while at * self.block < length and (node := nodes[at]) is not None and node.chunked is not None:
            at += 1
        return max(border, min(length, at * self.block))

    def _length(self, match: Match) -> int:
        return len(match.path) * self.block + match.count

    def _keep_tail(self, slot: Slot, ids: Sequence[int], limit: int | None) -> set[int]:
        """The last, partly filled row stays known, too: growing texts go on in its middle. Its blocks."""
        at = len(slot.path)
        tokens = tuple(ids[at * self.block : min(slot.filled, len(ids) if limit is None else limit)])
        if self.grain > 1 or not tokens or at >= slot.full.end or self._tree.knows(_last(slot), tokens):
            return set()
        full, chunked = slot.full[at], slot.chunked[at] if slot.chunked.first <= at < slot.chunked.end else None
        self._tree.insert(_last(slot), tokens, full, chunked)
        return {*full, *(chunked or ())}


def _last(slot: Slot) -> Node:
    return slot.path[-1] if slot.path else slot.root


def _rows(units: Sequence[Iterable[int]], count: int) -> list[Row]:
    return list(zip(*units, strict=True)) if units else [()] * count
