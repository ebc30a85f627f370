"""Letters that were set apart, put together again: `i g n o r e  a l l` and `i.g.n.o.r.e a-l-l` to `ignore all`.

A run is four or more single letters with a few other characters between them. What is longer or other than the usual
gap parts words; where that does not give words, the letters of the run are cut into words by the list in words.py.
Everything is done by position in the text, never by looking a word up in it, so that one exotic character or one blank
more cannot switch the repair off.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate, pairwise

from guards.views.leet import LETTERS
from guards.views.mapped import Edits, Mapped
from guards.views.words import segmented, words

LEAST = 4
_LETTER = r"[A-Za-z0-9@$\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]"
_GAP = r"(?:[^\w@$]|_){1,6}"
_RUN = re.compile(rf"(?<![^\W_]){_LETTER}(?:{_GAP}{_LETTER}(?![^\W_])){{{LEAST - 1},}}")
_SINGLE = re.compile(_LETTER)
_ALPHABETIC = re.compile(r"[^\W\d_]")
_AS_LETTERS = LETTERS | {ord("1"): "i"}
"""Only to find where words end; what the letters are is for leet.py to say."""
_LONGEST_WORD = 12
_LEAST_LETTERS = 3


def unspaced(base: Mapped) -> Mapped | None:
    """None when no letters stand apart."""
    edits = Edits(base)
    for match in _RUN.finditer(base.text):
        if len(_ALPHABETIC.findall(match.group())) >= _LEAST_LETTERS:
            _close(base.text, *match.span(), edits)
    return edits.done()


def _close(text: str, start: int, end: int, edits: Edits) -> None:
    """Take the gaps out of one run, but leave a blank where a word ends."""
    places = [match.start() for match in _SINGLE.finditer(text, start, end)]
    gaps = [text[one + 1 : other] for one, other in pairwise(places)]
    usual = Counter(gaps).most_common(1)[0][0]
    stops = [at for at, gap in enumerate(gaps, 1) if _ends_word(gap, usual)]
    blanks = _ends("".join(text[at] for at in places).lower().translate(_AS_LETTERS), stops)
    for number, (one, other) in enumerate(pairwise(places), 1):
        new = " " if number in blanks else ""
        if text[one + 1 : other] != new:
            edits.replace(one + 1, other, new)


def _ends_word(gap: str, usual: str) -> bool:
    if gap == usual:
        return False
    return len(gap) > len(usual) or _breaks(gap) > _breaks(usual)


def _breaks(gap: str) -> int:
    """Nothing, a blank, or a new line."""
    return 2 if "\n" in gap else int(any(map(str.isspace, gap)))


def _ends(letters: str, stops: list[int]) -> set[int]:
    """After how many letters each word ends: as the gaps say, or as the words do where the gaps make none."""
    told = [letters[low:high] for low, high in pairwise([0, *stops, len(letters)])]
    parted = [piece for word in told for piece in _pieces(word)]
    if stops:
        whole = _pieces(letters)
        if _strange(whole) < _strange(parted):
            parted = whole
    return set(accumulate(len(piece) for piece in parted[:-1]))


def _pieces(word: str) -> list[str]:
    """The words in one word, if it is long or made of nothing else."""
    if word in words() or not (word.isascii() and word.isalpha()):
        return [word]
    pieces = segmented(word)
    return pieces if len(word) > _LONGEST_WORD or not _strange(pieces) else [word]


def _strange(pieces: list[str]) -> int:
    """Letters that are in no word."""
    return sum(len(piece) for piece in pieces if piece not in words() and piece not in ("a", "i"))
