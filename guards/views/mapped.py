"""A text made from another one by edits, with the way back: which raw characters a character was made from.

Only the edits are kept, so the way back costs memory for what changed and a search of the list for each question.
Characters that were removed belong to nobody; a character that was put in belongs to all it replaced. Starts never
decrease from one character to the next, and every span is inside the raw text and not empty.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mapped:
    """A text and where it came from."""

    text: str
    base: Mapped | None = None
    """What the edits were made to; None: the text is the raw text itself."""
    at: array[int] = field(default_factory=lambda: array("L"))
    """Where in `text` each replacement begins …"""
    to: array[int] = field(default_factory=lambda: array("L"))
    """… and ends, …"""
    low: array[int] = field(default_factory=lambda: array("L"))
    """… and which characters of the base it stands for, from here …"""
    high: array[int] = field(default_factory=lambda: array("L"))
    """… to here."""

    def raw(self, start: int, end: int) -> tuple[int, int]:
        """The raw characters from which [start, end) was made. Expects 0 <= start < end <= length of the text."""
        if self.base is None:
            return start, end
        first, last = bisect_right(self.at, start) - 1, bisect_right(self.at, end - 1) - 1
        begin = self._source(first, start, self.low)
        finish = self._source(last, end - 1, self.high)
        if last < 0 or end > self.to[last]:
            finish += 1  # the last character is one that was not replaced
        if last > first:  # pieces that were taken out may overlap
            finish = max(finish, max(self.high[max(first, 0) : last], default=0))
        return self.base.raw(begin, finish)

    def _source(self, edit: int, position: int, inside: array[int]) -> int:
        if edit < 0:
            return position
        if position < self.to[edit]:
            return inside[edit]
        return self.high[edit] + position - self.to[edit]


class Edits:
    """Replacements in one text, from left to right."""

    def __init__(self, base: Mapped) -> None:
        self._base, self._last, self._size = base, 0, 0
        self._pieces: list[str] = []
        self._marks = array("L"), array("L"), array("L"), array("L")

    def replace(self, start: int, end: int, new: str) -> None:
        """Characters [start, end) become `new`. Not empty, and not before the end of the replacement before."""
        at, to, low, high = self._marks
        self._pieces += (self._base.text[self._last : start], new)
        self._size += start - self._last
        if not new and at and high[-1] == start and at[-1] == to[-1]:
            high[-1] = end  # one removal after another
        else:
            at.append(self._size)
            low.append(start)
            self._size += len(new)
            to.append(self._size)
            high.append(end)
        self._last = end

    @property
    def count(self) -> int:
        return len(self._marks[0])

    def done(self) -> Mapped | None:
        """The edited text; None when nothing was edited."""
        if not self.count:
            return None
        self._pieces.append(self._base.text[self._last :])
        return Mapped("".join(self._pieces), self._base, *self._marks)


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """A text of its own that stands for [start, end) of its source."""

    start: int
    end: int
    text: str


def joined(pieces: Iterable[Piece], base: Mapped) -> Mapped | None:
    """The pieces, a line apart, in the order in which they begin. None without any."""
    ordered = sorted(piece for piece in pieces if piece.text and piece.end > piece.start)
    if not ordered:
        return None
    at, to, low, high = array("L"), array("L"), array("L"), array("L")
    size = 0
    for number, piece in enumerate(ordered, 1):
        at.append(size)
        low.append(piece.start)
        size += len(piece.text) + (number < len(ordered))
        to.append(size)
        high.append(piece.end)
    return Mapped("\n".join(piece.text for piece in ordered), base, at, to, low, high)


def excerpt(view: Mapped, root: Mapped, around: int) -> Mapped:
    """The surroundings of all that changed since `root`, a line apart; all of the view where that is no less.

    A view repeats what its root says anyway; of a long text only the places that read differently are needed.
    """
    kept: list[tuple[int, int]] = []
    for start, end in _changes(view, root):
        low, high = max(start - around, 0), min(end + around, len(view.text))
        if kept and low <= kept[-1][1]:
            kept[-1] = kept[-1][0], max(high, kept[-1][1])
        else:
            kept.append((low, high))
    edits = Edits(view)
    last = 0
    for low, high in [*kept, (len(view.text), len(view.text))]:
        if low > last:
            edits.replace(last, low, "\n")
        last = high
    return edits.done() or view


def _changes(view: Mapped, root: Mapped) -> list[tuple[int, int]]:
    """Where in the view anything differs from the root, by rising start."""
    if view is root or view.base is None:
        return []
    earlier = _changes(view.base, root)
    moved = [(_forward(view, start), max(_forward(view, start), _forward(view, end))) for start, end in earlier]
    return sorted([*moved, *zip(view.at, view.to, strict=True)])


def _forward(view: Mapped, position: int) -> int:
    """Where a character of the base is in the view, or would be."""
    edit = bisect_right(view.low, position) - 1
    if edit < 0:
        return position
    if position < view.high[edit]:
        return view.at[edit]
    return min(view.to[edit] + position - view.high[edit], len(view.text))
