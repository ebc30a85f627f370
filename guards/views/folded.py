"""As far as ASCII is concerned the same text: look-alikes of ASCII made ASCII, what may be left undrawn removed.

The decimal digits of every script count as look-alikes: a card number in Arabic digits is that card number. Rules that
look for characters read this form. It is made in chunks, so that other threads get a turn while megabytes are read, and
it never raises.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from guards.rules.base import CHUNK
from guards.views.mapped import Edits, Mapped

IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Code points that Unicode says may be left undrawn."""
_COMPATIBILITY = (
    (0x80, 0x3400),
    (0xA640, 0xAC00),
    (0xF900, 0x10000),
    (0x1CCD6, 0x1CCFA),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F300),
    (0x1FBF0, 0x1FBFA),
)
"""Where Unicode keeps characters whose compatibility form is ASCII."""
_DIGITS_BEYOND = tuple(
    (code, code + 10)
    for code in range(0x10000, 0x20000)
    if unicodedata.decimal(chr(code), None) == 0 and not any(low <= code < high for low, high in _COMPATIBILITY)
)
"""Where scripts outside the basic plane have their ten digits."""
_BEYOND = (*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000))
"""Ignorable code points outside the basic plane."""


def folded(text: str) -> Mapped:
    return refolded(Mapped(text))


def refolded(base: Mapped) -> Mapped:
    """The same of a text that was made from another one."""
    text = base.text
    if text.isascii():
        return base
    pattern, table = _foldable()
    edits = Edits(base)
    for low in range(0, len(text), CHUNK):
        for match in pattern.finditer(text, low, low + CHUNK):
            plain = table.get(match.group())
            if plain is not None:
                edits.replace(*match.span(), plain)
    return edits.done() or base


@cache
def _foldable() -> tuple[re.Pattern[str], dict[str, str]]:
    """Every character whose compatibility form is ASCII, every digit, and a pattern for these and ignorable ones."""
    table: dict[str, str] = {}
    for low, high in _COMPATIBILITY:
        for char in map(chr, range(low, high)):
            plain = unicodedata.normalize("NFKC", char)
            if plain.isascii():
                table[char] = plain
    for char in map(chr, (*range(0x80, 0x10000), *(code for pair in _DIGITS_BEYOND for code in range(*pair)))):
        if (value := unicodedata.decimal(char, None)) is not None:
            table[char] = str(value)
    ignorable = re.compile(f"[{IGNORABLE}]")
    table |= {char: "" for char in map(chr, (*range(0x80, 0x10000), *_BEYOND)) if ignorable.match(char)}
    # A class is fast for any set inside the basic plane; beyond it, only ranges are, so these take in a little more.
    basic = "".join(char for char in table if char < "\U00010000")
    ranges = "".join(f"{chr(low)}-{chr(high - 1)}" for low, high in (*_COMPATIBILITY, *_DIGITS_BEYOND) if low > 0xFFFF)
    return re.compile(f"[{re.escape(basic)}{ranges}{IGNORABLE}]"), table


def plain_digits(text: str) -> str:
    """The text with the digits of every script as ASCII's, one for one, so that places stay what they are."""
    if text.isascii():
        return text
    pattern, table = _digits()
    pieces = (text[low : low + CHUNK] for low in range(0, len(text), CHUNK))
    return "".join(pattern.sub(lambda match: table[match.group()], piece) for piece in pieces)


@cache
def _digits() -> tuple[re.Pattern[str], dict[str, str]]:
    _, foldable = _foldable()
    table = {char: plain for char, plain in foldable.items() if unicodedata.decimal(char, None) is not None}
    return re.compile(f"[{''.join(sorted(table))}]"), table


def variants(chars: str) -> str:
    """The characters themselves, and all whose folded form holds one of them."""
    return chars + "".join(char for char, plain in _foldable()[1].items() if not set(chars).isdisjoint(plain))
