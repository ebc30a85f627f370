"""Words and names from a list, however they are spaced, cased and accented.

Both sides are read as words: folded to plain letters without accents or case, punctuation and white space between them
ignored (up to MAX_GAP characters), characters of scripts without spaces one by one. So `Acme Corp` is found in
`ACME-Corp`, not in `acmecorporate`, and `机密` inside any run of Chinese. Each word of a text is looked up once and
then joined with at most MAX_WORDS - 1 followers, whatever the size of the list: the cost is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice, pairwise
from typing import Final

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules.base import CHUNK, RuleGuard
from guards.rules.regex import checked_label
from guards.verdict import Span
from guards.views.folded import folded
from guards.views.mapped import Edits, Mapped

OPTIONS: Final = frozenset(("words", "list", "label"))
MAX_TERMS: Final = 200_000
MAX_WORDS: Final = 16
MAX_LENGTH: Final = 200
MAX_GAP: Final = 3
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean: a character is a word, because no space says where one ends."""
_SIGNS: Final = "\u0900-\u0dff"
"""Vowel signs of Indic scripts, which stay."""
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
"""Accents, points and what is drawn around or through a letter, which go."""
_WORD: Final = re.compile(f"[{_UNSPACED}]|(?:[^\\W_{_UNSPACED}]|[{_SIGNS}])+")
_MARK: Final = re.compile(f"[{_MARKS}]")
_OWN: Final = {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
"""Letters that Unicode does not take for accented ones."""


class TermsGuard(RuleGuard):
    """`words` are the terms; a policy may name a file with more of them, see policies/lists.py."""

    reads_codes = "document"

    def __init__(self, words: Iterable[str], label: str = "match") -> None:
        super().__init__("terms", 3)
        self._label = checked_label("terms", label)
        found = {_term(word) for word in words}
        if not 0 < len(found) <= MAX_TERMS:
            raise GuardSetupError("terms", f"{len(found)} terms, expected 1 to {MAX_TERMS}", "words")
        self._terms = frozenset(" ".join(term) for term in found)
        counts: dict[str, set[int]] = {}
        for term in found:
            counts.setdefault(term[0], set()).add(len(term))
        self._counts = {first: tuple(sorted(sizes, reverse=True)) for first, sizes in counts.items()}
        self._most = max(map(len, found))
        self.labels = (label,)
        self.settings = {"words": tuple(sorted(self._terms)), "label": label}
        self.known_after = max(map(len, self._terms)) + MAX_GAP * max(map(len, found)) + 1

    @classmethod
    def of(cls, options: Options) -> TermsGuard:
        if "list" in options.values:
            raise GuardSetupError("terms", "a list is a file beside a policy, which is read when the policy is", "list")
        return cls(options.strings("words", ()), options.string("label", "match"))

    def spans(self, text: str) -> Iterator[Span]:
        view = plain_words(text)
        reached = -1
        for ahead in _windows(view.text, self._most):
            end = self._end(ahead)
            if end > reached:
                reached = end
                yield Span(*view.raw(ahead[0].start(), end), self._label)

    def _end(self, ahead: Sequence[re.Match[str]]) -> int:
        """Where the longest term ends that begins with the first of these words; -1 if none does."""
        for count in self._counts.get(ahead[0].group(), ()):
            near = list(islice(ahead, count))
            if len(near) == count and " ".join(map(_text, near)) in self._terms and _is_close(near):
                return near[-1].end()
        return -1


def _windows(text: str, most: int) -> Iterator[deque[re.Match[str]]]:
    """Each word with those after it; never all words of a text at once, of which there may be millions."""
    ahead: deque[re.Match[str]] = deque()
    for word in words_of(text):
        ahead.append(word)
        if len(ahead) == most:
            yield ahead
            ahead.popleft()
    while ahead:
        yield ahead
        ahead.popleft()


def _text(word: re.Match[str]) -> str:
    return word.group()


def words_of(text: str) -> Iterator[re.Match[str]]:
    return _WORD.finditer(text)


def _is_close(words: Sequence[re.Match[str]]) -> bool:
    return all(after.start() - before.end() <= MAX_GAP for before, after in pairwise(words))


def _term(word: str) -> tuple[str, ...]:
    words = tuple(match.group() for match in words_of(plain_words(word).text))
    if not words or (len(words) == 1 and len(words[0]) < 2 and words[0].isascii()):
        raise GuardSetupError("terms", "a term is shorter than two letters or digits", "words")
    if len(word) > MAX_LENGTH or len(words) > MAX_WORDS:
        raise GuardSetupError("terms", f"a term has more than {MAX_LENGTH} characters or {MAX_WORDS} words", "words")
    return words


def plain_words(text: str) -> Mapped:
    """Look-alikes of ASCII as ASCII, no accents, no capitals; spans lead back to the text."""
    view = folded(text)
    if not view.text.isascii():
        pattern, table = _accented()
        edits = Edits(view)
        for low in range(0, len(view.text), CHUNK):
            for match in pattern.finditer(view.text, low, low + CHUNK):
                edits.replace(*match.span(), table.get(match.group(), ""))
        view = edits.done() or view
    return replace(view, text=view.text.lower())


@cache
def _accented() -> tuple[re.Pattern[str], dict[str, str]]:
    """Every letter outside ASCII that has a plainer form, and a pattern for these and for loose accents."""
    table = {char: plain for char in map(chr, range(0x80, 0x3000)) if (plain := _plain(char)) != char}
    table |= {char: plain for char in map(chr, range(0xA640, 0xAC00)) if (plain := _plain(char)) != char}
    return re.compile(f"[{re.escape(''.join(table))}{_MARKS}]"), table


def _plain(char: str) -> str:
    bare = unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFKD", char))).casefold()
    return "".join(_OWN.get(one, one) for one in bare)
