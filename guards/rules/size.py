"""How much text a part holds: characters, words and lines beyond a bound, counted in one pass.

A rule asks it where a part of one kind should be shorter than the limits of the whole request: a search word, a name, a
tool's arguments. What is beyond the bound is the span.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules.base import RuleGuard
from guards.verdict import Span

MOST: Final = 10_000_000
_UNITS: Final[Mapping[str, re.Pattern[str]]] = {
    "lines": re.compile(r"[^\n]+|\n(?=\n)"),
    "words": re.compile(r"\S+"),
}
LABELS: Final = ("characters", *_UNITS)
OPTIONS: Final = frozenset(LABELS)


class SizeGuard(RuleGuard):
    """Each option is the most there may be of it."""

    known_after = float("inf")

    def __init__(self, most: Mapping[str, int]) -> None:
        super().__init__("size", 1)
        if not most:
            raise GuardSetupError("size", f"nothing is bounded, expected one of {', '.join(LABELS)}")
        self._most = dict(sorted(most.items()))
        self.settings = self._most
        self.labels = tuple(self._most)

    @classmethod
    def of(cls, options: Options) -> SizeGuard:
        return cls({key: options.integer(key, 1, MOST, 1) for key in LABELS if key in options.values})

    def spans(self, text: str) -> Iterator[Span]:
        for label, most in self._most.items():
            start = most if label == "characters" else _beyond(_UNITS[label], text, most)
            if start < len(text):
                yield Span(start, len(text), label)


def _beyond(unit: re.Pattern[str], text: str, most: int) -> int:
    """Where the first unit begins that is one too many."""
    found = next(islice(unit.finditer(text), most, None), None)
    return len(text) if found is None else found.start()
