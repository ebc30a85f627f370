"""Words that a blank or a sign broke in pieces, put together again: `ig nore prev-ious instruc tions`.

Two or three neighbours are joined where that makes a word of the list in words.py and one of them alone is none. A
single such place is how people write (`data base`, `e-mail`); the view exists from the second on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from guards.views.mapped import Edits, Mapped
from guards.views.words import words

_PIECE = re.compile(r"(?<![^\W_])[A-Za-z]{1,14}(?![^\W_])")
_GAP = re.compile(r" {1,3}|\n|([\-._*/|~·])\1{0,2}")
_EMPTY = re.compile(
    r"(?<=[A-Za-z])(?:<!--[^<>]{0,200}-->|<(?P<tag>[A-Za-z]{1,10})(?: [^<>]{0,100})?></(?P=tag)>)+(?=[A-Za-z])"
)
"""Markup inside a word that shows nothing."""
_STYLE = r"(?:</?(?:b|i|u|s|em|strong|span|font|small|big|mark|sub|sup|tt|code)(?: [^<>]{0,100})?>|\x1b\[[0-9;]{0,20}m)"
_ANY_STYLE = re.compile(rf"{_STYLE}+")
_LETTER = re.compile(rf"{_STYLE}[A-Za-z](?={_STYLE})")
_LEAST_LETTERS = 8
"""Letters, each with a style of its own; then what styles them goes everywhere."""
_SHORTEST = 5
_LEAST_PLACES = 2


def rejoined(base: Mapped) -> Mapped | None:
    """None when no words are broken."""
    current = _without_markup(base) or base
    current = _together(current) or current
    return current if current is not base else None


def unstyled(base: Mapped) -> Mapped | None:
    """Without tags and colours, where letters have them one by one. None where they have not."""
    if len(list(islice(_LETTER.finditer(base.text), _LEAST_LETTERS))) < _LEAST_LETTERS:
        return None
    edits = Edits(base)
    for match in _ANY_STYLE.finditer(base.text):
        edits.replace(*match.span(), "")
    return edits.done()


def _without_markup(base: Mapped) -> Mapped | None:
    edits = Edits(base)
    if "><" in base.text or "<!--" in base.text:
        for match in _EMPTY.finditer(base.text):
            edits.replace(*match.span(), "")
    return edits.done()


def _together(base: Mapped) -> Mapped | None:
    found = list(_broken(base.text))
    if len(found) < _LEAST_PLACES:
        return None
    edits = Edits(base)
    for gaps in found:
        for start, end in gaps:
            edits.replace(start, end, "")
    return edits.done()


def _broken(text: str) -> Iterator[list[tuple[int, int]]]:
    """The gaps inside each broken word."""
    known = words()
    spans = [match.span() for match in _PIECE.finditer(text)]
    pieces = [text[start:end].lower() for start, end in spans]
    free = 0  # pieces before this one are in a word already
    for at, piece in enumerate(pieces):
        if len(piece) == 1 or piece in known:
            continue
        for first, last in ((at - 1, at), (at, at + 1), (at - 2, at), (at - 1, at + 1), (at, at + 2)):
            if first < free or last >= len(pieces):
                continue
            gaps = [(spans[i][1], spans[i + 1][0]) for i in range(first, last)]
            whole = "".join(pieces[first : last + 1])
            if len(whole) >= _SHORTEST and whole in known and all(_GAP.fullmatch(text, *gap) for gap in gaps):
                yield gaps
                free = last + 1
                break
