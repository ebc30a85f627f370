"""After how many characters a match of a pattern is known to be one: what a stream has to hold back to redact it whole.

A key such as `sk-[a-z0-9]{20,}` is known at its 23rd character and grows from there, so whoever holds 23 never lets out
a part of it. `BEGIN.*END` is known at its END only, however far away that is: nothing that is held back is enough.

The answer is an upper bound. What RE2 accepts and this reader does not know counts as unbounded, so a construct that is
forgotten here refuses a policy; it cannot let half a secret out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_CLASS: Final = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_REPEAT: Final = re.compile(r"([*+?])|\{(\d+)(,?)(\d*)\}")
_GROUP: Final = re.compile(r"\(\?(?:P?<\w+>|[imsU]*(?:-[imsU]+)?(?::|(?=\))))|\(")
_ESCAPE: Final = re.compile(r"\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[pP]\{\^?\w+\}|[pP]\w|0?[0-7]{1,3}|.)", re.DOTALL)
_NO_WIDTH: Final = frozenset(("\\b", "\\B", "\\A", "\\z"))


@dataclass(frozen=True, slots=True)
class _Width:
    """Of what a pattern matches, in characters."""

    known_after: float
    """Before so many of them it is a match; 0 when it can match nothing."""
    most: float

    def then(self, other: _Width) -> _Width:
        known = self.known_after if other.known_after == 0 else self.most + other.known_after
        return _Width(known, self.most + other.most)

    def times(self, least: int, most: float) -> _Width:
        if most == 0 or self.most == 0:
            return _NOTHING
        known = 0.0 if least == 0 else (self.most * (least - 1) if least > 1 else 0.0) + self.known_after
        return _Width(known, self.most * most)


_NOTHING: Final = _Width(0.0, 0.0)
_CHARACTER: Final = _Width(1.0, 1.0)
_UNKNOWN: Final = _Width(math.inf, math.inf)


def reach(pattern: str) -> float:
    """Characters, or infinity when a match may be known only any number of characters after its beginning."""
    return _width(pattern).known_after


def longest(pattern: str) -> float:
    """Characters of the longest match: what it takes where only the whole of it can be checked."""
    return _width(pattern).most


def _width(pattern: str) -> _Width:
    try:
        reader = _Reader(pattern)
        width = reader.alternatives()
    except (IndexError, ValueError, RecursionError):
        return _UNKNOWN
    return width if reader.is_done else _UNKNOWN


class _Reader:
    """Walks a pattern that RE2 has accepted."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at = pattern, 0

    @property
    def is_done(self) -> bool:
        return self._at == len(self._pattern)

    def alternatives(self) -> _Width:
        """`a|b|c` up to the end or the closing bracket."""
        width = self._sequence()
        while self._takes("|"):
            other = self._sequence()
            width = _Width(max(width.known_after, other.known_after), max(width.most, other.most))
        return width

    def _sequence(self) -> _Width:
        width = _NOTHING
        while not self.is_done and self._pattern[self._at] not in "|)":
            width = width.then(self._repeated(self._item()))
        return width

    def _item(self) -> _Width:
        char = self._pattern[self._at]
        if char == "(":
            return self._group()
        if char == "[":
            self._match(_CLASS)
            return _CHARACTER
        if char == "\\":
            escape = self._match(_ESCAPE)
            return _UNKNOWN if escape in ("\\Q", "\\E") else _NOTHING if escape in _NO_WIDTH else _CHARACTER
        self._at += 1
        return _NOTHING if char in "^$" else _CHARACTER

    def _group(self) -> _Width:
        self._match(_GROUP)
        width = self.alternatives()
        if not self._takes(")"):
            raise ValueError("a bracket has no end")
        return width

    def _repeated(self, width: _Width) -> _Width:
        if (found := _REPEAT.match(self._pattern, self._at)) is not None:
            self._at = found.end()
            self._takes("?")  # lazy: the same widths
            sign, least, comma, most = found.groups()
            if sign:
                width = width.times(int(sign == "+"), 1 if sign == "?" else math.inf)
            else:
                width = width.times(int(least), math.inf if comma and not most else int(most or least))
        return width

    def _match(self, form: re.Pattern[str]) -> str:
        found = form.match(self._pattern, self._at)
        if found is None:
            raise ValueError("not a form that is known here")
        self._at = found.end()
        return found.group()

    def _takes(self, char: str) -> bool:
        if self._pattern.startswith(char, self._at):
            self._at += 1
            return True
        return False
