"""Other forms of a text in which hidden words become plain. The raw text is always judged too; the worst form counts.

A view only adds evidence. What it cannot undo it leaves as it is, and it never raises: a view that failed would either
hide text or refuse honest text.
  normalised   invisible characters removed where no script needs them, compatibility forms (full-width, mathematical,
               ligatures) made plain, and Cyrillic or Greek look-alikes turned Latin in words that mix the two scripts
  folded       as far as ASCII is concerned the same, with the place of each character in the raw text; rules that need
               spans read this one
Decoded text is in `guards/decoders.py`.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from dataclasses import dataclass
from functools import cache

from guards.rules.base import CHUNK
from guards.rules.unicode import JOINING

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Code points that Unicode says may be left undrawn."""
_PICTURES = "\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_HIDDEN = re.compile(
    f"(?<![{JOINING}{_PICTURES}])[\u200c\u200d](?![{JOINING}])|(?![\u200c\u200d\ufe0e\ufe0f])[{_IGNORABLE}]"
)
_ASCII = re.compile("[\x00-\x7f]")

_CYRILLIC = dict(zip("аеорсухіјѕԁһӏԛԝАВЕКМНОРСТУХІЈЅ", "aeopcyxijsdhlqwABEKMHOPCTYXIJS", strict=True))
_GREEK = dict(zip("ονιυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ovıuABEZHIKMNOPTYX".replace("ı", "i"), strict=True))
_LOOKALIKES = str.maketrans(_CYRILLIC | _GREEK)
_LOOKALIKE = re.compile(f"[{''.join(_CYRILLIC | _GREEK)}]")
_WORD = re.compile(r"\w+")
_LATIN = re.compile("[A-Za-z]")

_COMPATIBILITY = (
    (0x80, 0x3400),
    (0xA640, 0xAC00),
    (0xF900, 0x10000),
    (0x1CCD6, 0x1CCFA),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F300),
    (0x1FBF0, 0x1FBFA),
)
_BEYOND = (*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000))
"""Ignorable code points outside the basic plane."""
"""Where Unicode keeps characters whose compatibility form is ASCII."""


def normalised(text: str) -> str:
    """The text as a careful reader would type it. Equal to `text` for ASCII."""
    if text.isascii():
        return text
    plain = "".join(unicodedata.normalize("NFKC", _HIDDEN.sub("", piece)) for piece in _pieces(text))
    return _WORD.sub(_latin_if_mixed, plain) if _LOOKALIKE.search(plain) else plain


def _pieces(text: str) -> list[str]:
    """Cut before an ASCII character, where normal forms never join; without one in reach, anywhere."""
    cuts = [0]
    while len(text) - cuts[-1] > CHUNK:
        near = _ASCII.search(text, cuts[-1] + CHUNK, cuts[-1] + 2 * CHUNK)
        cuts.append(near.start() if near else cuts[-1] + CHUNK)
    return [text[low:high] for low, high in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _latin_if_mixed(match: re.Match[str]) -> str:
    word = match.group()
    return word.translate(_LOOKALIKES) if not word.isascii() and _LATIN.search(word) else word


@dataclass(frozen=True, slots=True)
class Folded:
    """ASCII look-alikes made ASCII, ignorable characters gone, and where each character stood."""

    text: str
    origin: array[int] | None
    """Raw index of each character; None when the text is the raw text itself."""

    def raw(self, start: int, end: int) -> tuple[int, int]:
        """The raw characters from which [start, end) was made."""
        if self.origin is None:
            return start, end
        return self.origin[start], self.origin[end - 1] + 1


def folded(text: str) -> Folded:
    if text.isascii():
        return Folded(text, None)
    pattern, table = _foldable()
    pieces: list[str] = []
    origin = array("L")
    last = 0
    for low in range(0, len(text), CHUNK):
        for match in pattern.finditer(text, low, low + CHUNK):
            at, plain = match.start(), table.get(match.group())
            if plain is None:
                continue
            pieces += (text[last:at], plain)
            origin.extend(range(last, at))
            origin.extend([at] * len(plain))
            last = at + 1
    if last == 0:
        return Folded(text, None)
    pieces.append(text[last:])
    origin.extend(range(last, len(text)))
    return Folded("".join(pieces), origin)


@cache
def _foldable() -> tuple[re.Pattern[str], dict[str, str]]:
    """Every character whose compatibility form is ASCII, and a pattern for these and the ignorable ones."""
    table: dict[str, str] = {}
    for low, high in _COMPATIBILITY:
        for char in map(chr, range(low, high)):
            plain = unicodedata.normalize("NFKC", char)
            if plain.isascii():
                table[char] = plain
    ignorable = re.compile(f"[{_IGNORABLE}]")
    table |= {char: "" for char in map(chr, (*range(0x80, 0x10000), *_BEYOND)) if ignorable.match(char)}
    # A class is fast for any set inside the basic plane; beyond it, only ranges are, so these take in a little more.
    basic = "".join(char for char in table if char < "\U00010000")
    ranges = "".join(f"{chr(low)}-{chr(high - 1)}" for low, high in _COMPATIBILITY if low > 0xFFFF)
    return re.compile(f"[{re.escape(basic)}{ranges}{_IGNORABLE}]"), table


def variants(chars: str) -> str:
    """The characters themselves, and all whose folded form holds one of them."""
    return chars + "".join(char for char, plain in _foldable()[1].items() if not set(chars).isdisjoint(plain))
