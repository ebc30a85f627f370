"""The Latin text that a mix of scripts looks like; text that is written in one script stays as it is.

A word with letters of two scripts becomes Latin, and a word of nothing but look-alikes does where no other word shows
that its script is really in use: `рaypal` always, `сору` in an English text, never in a Russian one. Marks piled on
ASCII letters, pictures between letters and styled letters go, too. Accents go where that alone makes an English text.
"""

from __future__ import annotations

import re
import unicodedata

from guards.views.confusables import LOOKALIKES, REGIONS, STYLED, TURNED, disguised
from guards.views.mapped import Edits, Mapped
from guards.views.normalised import PICTURES
from guards.views.words import words

_LATIN = "A-Za-z"
_ACCENTS = r"\u00c0-\u024f\u1e00-\u1eff"
_STYLED = "".join((*STYLED, *TURNED))
_DECORATION = re.compile(
    f"(?<=[{_LATIN}])[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
    f"|(?<=[{_LATIN}])[{PICTURES}\u200d\u20e3]+(?=[{_LATIN}])"
)
_DECORATING = re.compile(f"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff{PICTURES}]")
_PILE = re.compile(f"[{_ACCENTS}][\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{{2,}}")
"""Marks on a letter that has one already; people write one more, as in Yoruba."""
_TURKISH = re.compile("[şğŞĞİ]")
_INDICATORS = re.compile("[\U0001f1e6-\U0001f1ff]+")
_LETTER = re.compile(f"[{_STYLED}]")
_ACCENT = re.compile(f"[{_ACCENTS}]")
_ACCENTED = re.compile(rf"(?<!\w)(?=[A-Za-z]{{0,18}}[{_ACCENTS}])[A-Za-z{_ACCENTS}]{{3,18}}(?!\w)")
_LEAST_WORDS = 2


def skeleton(base: Mapped) -> Mapped | None:
    """None when nothing in the text looks like what it is not."""
    current = base
    if not base.text.isascii():
        for step in (_undecorated, _lettered, _latin, _unaccented):
            current = step(current) or current
    return current if current is not base else None


def _undecorated(base: Mapped) -> Mapped | None:
    edits = Edits(base)
    if _DECORATING.search(base.text) is None:
        return None
    for match in _DECORATION.finditer(base.text):
        edits.replace(*match.span(), "")
    bare = edits.done() or base
    piles = Edits(bare)
    for match in _PILE.finditer(bare.text):
        piles.replace(*match.span(), unicodedata.normalize("NFD", match.group())[0])
    return piles.done() or (bare if bare is not base else None)


def _lettered(base: Mapped) -> Mapped | None:
    edits = Edits(base)
    table = STYLED | TURNED
    for match in _LETTER.finditer(base.text):
        edits.replace(*match.span(), table[match.group()])
    found = edits.done() or base
    flags = Edits(found)
    for match in _INDICATORS.finditer(found.text):
        letters = [chr(ord(char) - 0x1F1E6 + ord("A")) for char in match.group()]
        pairs = {"".join(letters[at : at + 2]) for at in range(0, len(letters), 2)}
        for at, letter in enumerate(letters, match.start()) if not pairs <= REGIONS else ():
            flags.replace(at, at + 1, letter.lower())
    return flags.done() or (found if found is not base else None)


def _latin(base: Mapped) -> Mapped | None:
    text = base.text
    edits = Edits(base)
    kept = "ı" if _TURKISH.search(text) else ""
    for start, end in disguised(text):
        for at in range(start, end):
            plain = LOOKALIKES.get(text[at])
            if plain is not None and text[at] != kept:
                edits.replace(at, at + 1, plain)
    return edits.done()


def _unaccented(base: Mapped) -> Mapped | None:
    """Words that are English without their accents, if there are enough of them to be a text."""
    found: dict[tuple[int, int], str] = {}
    if _ACCENT.search(base.text) is None:
        return None
    for match in _ACCENTED.finditer(base.text):
        plain = "".join(unicodedata.normalize("NFD", char)[0] for char in match.group())
        if len(plain) > 2 and plain.lower() in words():
            found[match.span()] = plain
    if len({plain.lower() for plain in found.values() if len(plain) > 3}) < _LEAST_WORDS:
        return None
    edits = Edits(base)
    for (start, end), plain in found.items():
        for at in range(start, end):
            if base.text[at] != plain[at - start]:
                edits.replace(at, at + 1, plain[at - start])
    return edits.done()
