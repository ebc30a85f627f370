"""Text with each letter changed for another (rot13, Caesar's shifts, Atbash), backwards or upside down, where the text
says so or reads better when it is undone.

rot13 needs three words that are English only then; where the text names it, one is enough. Other shifts and Atbash need
three longer words close together, backwards as many or two beside a word about turning round, upside down turned
letters. What stands near such words is undone as a whole, up to a line or REACH characters away, so that words which no
list knows come along.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import cache
from string import ascii_lowercase as _SMALL
from string import ascii_uppercase as _LARGE
from typing import Final

from guards.views.confusables import TURNED
from guards.views.mapped import Piece
from guards.views.words import distinct, words

REACH: Final = 160
_LEAST_WORDS, _LEAST_LETTERS = 3, 12
_LONG = 4
"""Letters of a word that counts where nothing in the text says what was done to it."""
_WORD = re.compile(r"[A-Za-z]{3,18}")
_ORDERS: Final = (*(_SMALL[-shift:] + _SMALL[:-shift] for shift in range(1, 26) if shift != 13), _SMALL[::-1])
"""What each letter of the alphabet stands for, in each of these ciphers."""
_ALPHABETS: Final = tuple(str.maketrans(_SMALL + _LARGE, order + order.upper()) for order in _ORDERS)
_ROT13 = re.compile(r"rot[\s_-]?13", re.IGNORECASE)
_TURNING = (
    "reverse reversed reverses reversing reversal backward backwards flip flipped flipping mirror mirrored inverse "
    "invert inverted umgekehrt umdrehen envers contrario rovescio invertido inverso reves"
)
_BACKWARDS = frozenset(_TURNING.split())
_BACKWARDS_ABROAD = re.compile("rückwärts|revés|наоборот|задом|逆|反")
_TURNED_LETTER = re.compile(f"[{''.join(TURNED)}]")
_LEAST_TURNED = 3
_UPRIGHT = str.maketrans(TURNED | {"n": "u", "u": "n", "b": "q", "q": "b", "d": "p", "p": "d", "ı": "i"})


@cache
def _only_in_rot13() -> frozenset[str]:
    return frozenset(codecs.encode(word, "rot13") for word in words() if len(word) > 2) - words()


@cache
def _only_backwards() -> frozenset[str]:
    return frozenset(word[::-1] for word in words() if len(word) > 2) - words()


def deciphered(text: str) -> list[Piece]:
    """Every text found, by no particular order."""
    found = distinct(text)
    others = _from_alphabets(text, found)
    return [*_from_rot13(text, found), *others, *_from_backwards(text, found), *_from_upside_down(text)]


def _from_rot13(text: str, found: set[str]) -> Iterator[Piece]:
    hits = found & _only_in_rot13()
    least = 1 if hits and _ROT13.search(text) else _LEAST_WORDS
    if len(hits) >= least:
        for start, end in _regions(text, hits, least):
            yield Piece(start, end, codecs.encode(text[start:end], "rot13"))


def _from_alphabets(text: str, found: set[str]) -> Iterator[Piece]:
    unknown = sorted(word for word in found - words() if len(word) >= _LONG)
    if len(unknown) < _LEAST_WORDS:
        return
    joined = " ".join(unknown)
    for alphabet in _ALPHABETS:
        plain = joined.translate(alphabet).split()
        if len(words().intersection(plain)) >= _LEAST_WORDS:
            hits = {word for word, meant in zip(unknown, plain, strict=True) if meant in words()}
            for start, end in _regions(text, hits, _LEAST_WORDS):
                yield Piece(start, end, text[start:end].translate(alphabet))


def _from_backwards(text: str, found: set[str]) -> Iterator[Piece]:
    hits, least = found & _only_backwards(), 2
    if found.isdisjoint(_BACKWARDS) and (text.isascii() or _BACKWARDS_ABROAD.search(text) is None):
        hits, least = {word for word in hits if len(word) >= _LONG}, _LEAST_WORDS
    for start, end in _regions(text, hits, least):
        region = text[start:end]
        yield Piece(start, end, region[::-1])
        yield Piece(start, end, _WORD.sub(lambda match: match.group()[::-1], region))


def _from_upside_down(text: str) -> Iterator[Piece]:
    if text.isascii():
        return
    for line in re.finditer(r"[^\n]+", text):
        if len(_TURNED_LETTER.findall(line.group())) >= _LEAST_TURNED:
            yield Piece(*line.span(), line.group()[::-1].translate(_UPRIGHT))


def _regions(text: str, hits: set[str], least: int) -> Iterator[tuple[int, int]]:
    """Where enough of the words stand close together, with what surrounds them."""
    if not hits:
        return
    group: list[re.Match[str]] = []
    for match in _WORD.finditer(text):
        if match.group().lower() in hits:
            if group and match.start() - group[-1].end() > REACH:
                yield from _region(text, group, least)
                group = []
            group.append(match)
    yield from _region(text, group, least)


def _region(text: str, group: list[re.Match[str]], least: int) -> Iterator[tuple[int, int]]:
    if len({match.group().lower() for match in group}) < least or sum(len(match.group()) for match in group) < min(
        _LEAST_LETTERS, least * 4
    ):
        return
    low, high = max(group[0].start() - REACH, 0), min(group[-1].end() + REACH, len(text))
    start = text.rfind("\n", low, group[0].start()) + 1 or low
    end = text.find("\n", group[-1].end(), high)
    yield start, high if end < 0 else end
