"""The same thing over and over: an answer that has come off its track, or a message that is all padding.

Found are characters, words and lines that repeat with a period: `times` in a row of the same unit, which has up to
MAX_CHARACTERS characters, MAX_WORDS words or MAX_LINES lines. A text is compared with itself moved on by each period,
so the cost is the text times a small number of periods. Tables, rules of a page (`-----`) and poems repeat, too: their
units are shorter than LEAST or they repeat less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.options import Options
from guards.rules.base import RuleGuard
from guards.verdict import Span

OPTIONS: Final = frozenset(("times", "find"))
LABELS: Final = ("characters", "lines", "words")
USUAL_TIMES: Final = 10
MAX_TEXT: Final = 1 << 20
MAX_CHARACTERS, MAX_WORDS, MAX_LINES = 8, 40, 20
BLOCK: Final = 4
"""Words or lines that are compared at once with those a period later, to see whether a period is worth a look."""
LEAST: Final = 60
"""Characters that what repeats has to be long, all its repeats together; for single characters four times as many."""
_WORD: Final = re.compile(r"\S+")
_LINE: Final = re.compile(r"[^\n]+")
"""Those of blanks alone are left out afterwards: a pattern that asks for more than one has to look again from each."""


class RepetitionGuard(RuleGuard):
    """`times` is how often in a row."""

    def __init__(self, times: int = USUAL_TIMES, find: Sequence[str] = LABELS) -> None:
        super().__init__("repetition", 2)
        self._times, self._find = times, frozenset(find)
        if unknown := sorted(self._find - set(LABELS)):
            raise GuardSetupError("repetition", f"`{unknown[0]}` is not one of {', '.join(LABELS)}", "find")
        if not self._find:
            raise GuardSetupError("repetition", "nothing to find, expected at least one kind", "find")
        self.labels = tuple(sorted(self._find))
        self.settings = {"times": times, "find": self.labels}
        self.known_after = float("inf")

    @classmethod
    def of(cls, options: Options) -> RepetitionGuard:
        return cls(options.integer("times", 4, 1_000, USUAL_TIMES), options.strings("find", LABELS))

    def spans(self, text: str) -> Iterator[Span]:
        if len(text) > MAX_TEXT:
            raise GuardError("repetition", ErrorKind.TOO_LONG, f"a part has more than {MAX_TEXT} characters")
        found: list[Span] = []
        if "words" in self._find:
            found += self._periodic(text, _WORD, MAX_WORDS, "words")
        if "lines" in self._find:
            found += self._periodic(text, _LINE, MAX_LINES, "lines")
        if "characters" in self._find:
            found += self._characters(text)
        return iter(sorted(found))

    def _periodic(self, text: str, unit: re.Pattern[str], most: int, label: str) -> list[Span]:
        places = [match.span() for match in unit.finditer(text) if not match[0].isspace()]
        units = [text[start:end] for start, end in places]
        periods = (period for period in range(1, most + 1) if _may_repeat(units, period, BLOCK))
        runs = (run for period in periods for run in _runs(units, period, self._times))
        spans = (Span(places[first][0], places[last - 1][1], label) for first, last in runs)
        return _outermost([span for span in spans if span.end - span.start >= LEAST])

    def _characters(self, text: str) -> list[Span]:
        periods = (period for period in range(1, MAX_CHARACTERS + 1) if _may_repeat(text, period, LEAST))
        runs = (run for period in periods for run in _runs(text, period, self._times))
        long = [(first, last) for first, last in runs if last - first >= 4 * LEAST]
        return _outermost([Span(first, last, "characters") for first, last in long if not text[first:last].isspace()])


def _may_repeat(units: Sequence[str], period: int, block: int) -> bool:
    """Whether some block comes again a period later, as one does in every repeat that is twice as long as a block."""
    starts = range(0, len(units) - period - block + 1, block)
    return any(units[at : at + block] == units[at + period : at + period + block] for at in starts)


def _runs(units: Sequence[str], period: int, times: int) -> Iterator[tuple[int, int]]:
    """Stretches in which each unit is the one a period before, long enough for so many repeats."""
    start = 0
    for at in range(period, len(units) + 1):
        if at < len(units) and units[at] == units[at - period]:
            continue
        if at - start >= period * times:
            yield start, at
        start = at - period + 1


def _outermost(spans: list[Span]) -> list[Span]:
    """None that lies inside another: what repeats with a period does so with twice the period as well."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept
