"""English words, to tell a text from gibberish and to find the words in letters without blanks.

The list is made of the words in the English texts that the starter guards are trained with; it only ever adds a form to
judge. What it lacks stays as it is.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_WORD = re.compile(r"[A-Za-z]{3,18}")
_LONGEST = 18
_UNKNOWN = 0.9
"""Price of a letter that belongs to no word. Long words are cheap, so that `ignore` is not `i g nor e`."""
_PRICE = (0.0, 2.2, 2.4, 2.0, 1.6, 1.3, 1.2)


@cache
def words() -> frozenset[str]:
    """All of them, lower case."""
    return frozenset((Path(__file__).parent / "words.txt").read_text(encoding="ascii").split())


@cache
def _trigrams() -> frozenset[str]:
    return frozenset(word[i : i + 3] for word in words() for i in range(len(word) - 2))


def distinct(text: str) -> set[str]:
    """The runs of 3 to 18 letters in it, lower case."""
    return set(_WORD.findall(text.lower()))


def sounds_english(word: str) -> bool:
    """Whether nearly all of its three-letter sequences occur in English words."""
    grams = [word[i : i + 3] for i in range(len(word) - 2)]
    return bool(grams) and sum(gram in _trigrams() for gram in grams) >= 0.8 * len(grams)


def segmented(letters: str) -> list[str]:
    """Lower-case letters without blanks, cut into the cheapest words; what is in no word stays together."""
    known = words()
    best: list[tuple[float, int, bool]] = [
        (0.0, 0, True)
    ]  # price up to here, where the last piece begins, known or not
    for end in range(1, len(letters) + 1):
        options = [(best[end - 1][0] + _UNKNOWN, end - 1, False)]
        for length in range(1, min(_LONGEST, end) + 1):
            piece = letters[end - length : end]
            if piece in known or piece in ("a", "i"):
                options.append((best[end - length][0] + _PRICE[min(length, 6)], end - length, True))
        best.append(min(options))
    pieces: list[str] = []
    end, was_known = len(letters), True
    while end:
        _, start, is_known = best[end]
        if pieces and not is_known and not was_known:
            pieces[-1] = letters[start:end] + pieces[-1]
        else:
            pieces.append(letters[start:end])
        end, was_known = start, is_known
    return pieces[::-1]
