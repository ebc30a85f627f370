"""Digits and signs read as the letters they stand for, in words where they make one: `1gn0r3` to `ignore`.

Product codes, versions and hashes stay: a token changes only into a word of the list in words.py, or, when signs stand
between its letters in at least two places, into something that sounds like one.
"""

from __future__ import annotations

import re
from itertools import product

from guards.views.mapped import Edits, Mapped
from guards.views.words import sounds_english, words

LETTERS = str.maketrans(dict(zip("034567892@$+€", "oeasgtbgzaste", strict=True)))
_EITHER = "1!|"
"""May stand for `i` or `l`."""
_SIGN = "0-9@$!|+€"
_TOKEN = re.compile(
    rf"(?<![\w@$])(?=[A-Za-z]{{0,32}}[{_SIGN}])(?=[{_SIGN}]{{0,32}}[A-Za-z])[A-Za-z{_SIGN}]{{2,32}}[A-Za-z0-9@$](?![\w@$])"
)
_BETWEEN = re.compile(rf"(?<=[A-Za-z])[{_SIGN}](?=[A-Za-z])")
_MIX = re.compile(r"[A-Za-z][0-9@$!|+€][A-Za-z0-9@$!|]|[0-9@$!|+€][A-Za-z]")
_CODED = re.compile(r"[A-Za-z0-9+/]{40,}")
_MOST_CHOICES = 4
_LEAST_SOUNDING = 6


def leet(base: Mapped) -> Mapped | None:
    """None when no word is spelled with digits."""
    if _MIX.search(base.text) is None:
        return None
    edits = Edits(base)
    coded = [match.span() for match in _CODED.finditer(base.text) if _is_noise(match.group())]
    coded.reverse()
    for match in _TOKEN.finditer(base.text):
        token = match.group()
        while coded and coded[-1][1] <= match.start():
            coded.pop()
        if coded and coded[-1][0] <= match.start():
            continue
        plain = _read(token)
        if plain is not None:
            for at, (old, new) in enumerate(zip(token, plain, strict=True), match.start()):
                if old != new:
                    edits.replace(at, at + 1, new)
    return edits.done()


def _is_noise(run: str) -> bool:
    """Base64 of a file: a third and more of its letters are capital ones."""
    capitals = sum(char.isupper() for char in run)
    return 3 * capitals > sum(char.isalpha() for char in run)


def _read(token: str) -> str | None:
    guess = token.translate(LETTERS)
    open_places = [i for i, char in enumerate(guess) if char in _EITHER]
    choices = product("il", repeat=min(len(open_places), _MOST_CHOICES))
    readings = [_filled(guess, open_places, choice) for choice in choices]
    for reading in readings:
        if reading.lower() in words():
            return reading
    sounding = readings[0]
    if len(token) >= _LEAST_SOUNDING and len(_BETWEEN.findall(token)) >= 2 and sounds_english(sounding.lower()):
        return sounding
    return None


def _filled(guess: str, places: list[int], choice: tuple[str, ...]) -> str:
    """The guess with a letter at each open place; beyond the tried ones, the last choice holds."""
    chars = list(guess)
    for number, place in enumerate(places):
        chars[place] = choice[min(number, len(choice) - 1)]
    return "".join(chars)
