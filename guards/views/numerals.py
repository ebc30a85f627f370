"""Text written as numbers or signals: binary and decimal codes of its characters, and Morse.

Lists of numbers are common, so what comes out has to hold an English word; then it is a text and not a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from guards.views.mapped import Piece
from guards.views.words import distinct, words

_BINARY = re.compile(r"(?<![0-9A-Za-z])(?:[01]{7,8}[\s,;]{0,2}){6,}(?![0-9A-Za-z])")
_BYTE = re.compile(r"[01]{7,8}")
_DECIMAL = re.compile(r"(?<![0-9A-Za-z.])(?:1?[0-9]{2}[\s,;-]{1,2}){5,}1?[0-9]{2}(?![0-9A-Za-z])")
_NUMBER = re.compile(r"[0-9]{2,3}")
_MORSE = re.compile(r"(?<![^\s\"'(:])(?:[.\-–—−·•∙]{1,6}(?:[ \t]{1,3}|[ \t]*[/|][ \t]*|\n)){7,}[.\-–—−·•∙]{1,6}(?!\w)")
_SIGNALS: Final = str.maketrans("·•∙–—−", "...---")
_CODE: Final = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
MORSE: Final = dict(zip("abcdefghijklmnopqrstuvwxyz0123456789", _CODE.split(), strict=True))
_LETTERS: Final = {signal: letter for letter, signal in MORSE.items()}
_WORD_END = re.compile(r"[ \t]*[/|\n][ \t]*|[ \t]{2,}")


def numerals(text: str) -> Iterator[Piece]:
    """Every text found."""
    for match in _BINARY.finditer(text):
        yield from _piece(match, "".join(chr(int(code, 2)) for code in _BYTE.findall(match.group())))
    for match in _DECIMAL.finditer(text):
        codes = [int(code) for code in _NUMBER.findall(match.group())]
        if all(32 <= code < 127 or code == 10 for code in codes):
            yield from _piece(match, "".join(map(chr, codes)))
    for match in _MORSE.finditer(text):
        yield from _piece(match, _morse(match.group().translate(_SIGNALS)))


def _morse(signals: str) -> str:
    """Empty where a signal is no letter."""
    spelled = [[_LETTERS.get(signal, "") for signal in word.split()] for word in _WORD_END.split(signals)]
    return " ".join("".join(word) for word in spelled) if all(all(word) for word in spelled) else ""


def _piece(match: re.Match[str], plain: str) -> Iterator[Piece]:
    if plain.replace("\n", " ").isprintable() and not distinct(plain).isdisjoint(words()):
        yield Piece(*match.span(), plain)
