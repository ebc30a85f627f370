"""A value with a term close by: three digits are nothing, three digits beside `security code` are one.

Both patterns are RE2's. A value counts when a match of the term ends at most `within` characters before it or begins at
most as many behind it; the span is the value's. Each pattern reads the text once, and their matches are gone through
side by side, so the cost is linear in the text. Digits of other scripts are read as ASCII's, and with `views` both are
looked for where words are hidden (guards/rules/pattern_search.py); what is near is near in the form that is read.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

import re2

from guards.errors import GuardSetupError
from guards.options import VIEWS, Options
from guards.rules.base import RuleGuard, matches
from guards.rules.checksums import CHECKS, held
from guards.rules.pattern_search import INLINE_VIEWED, RAW, search
from guards.rules.reach import longest, reach
from guards.rules.regex import bounded_pattern, checked_label, checked_name
from guards.verdict import Part, Span

OPTIONS: Final = frozenset(("term", "value", "within", "label", "check", "views"))
MOST: Final = 1_000


class NearGuard(RuleGuard):
    """`term` and `value` are patterns, `within` is in characters, `check` holds the value to its check digits."""

    reads_codes = "document"

    def __init__(
        self,
        term: str,
        value: str,
        within: int,
        label: str = "match",
        check: str = "",
        views: tuple[str, ...] = RAW,
    ) -> None:
        super().__init__("near", 3)
        self._term, self._value = bounded_pattern("near", term, "term"), bounded_pattern("near", value, "value")
        self._within, self._label, self._views = within, checked_label("near", label), views
        self._check = CHECKS[checked_name("near", check)] if check else None
        if not 0 <= within <= MOST:
            raise GuardSetupError("near", f"expected a whole number from 0 to {MOST}", "within")
        self.labels = (label,)
        self.settings = {"term": term, "value": value, "within": within, "label": label}
        self.settings |= {"check": check} if check else {}
        self.settings |= {"views": views} if views != RAW else {}
        # How many raw characters a view reads as one is anybody's guess.
        reached = (longest if check else reach)(value) + within + reach(term)
        self.known_after = reached if views == RAW else math.inf

    @classmethod
    def of(cls, options: Options) -> NearGuard:
        term, value = options.string("term"), options.string("value")
        within = options.integer("within", 0, MOST, -1)
        views = options.among("views", VIEWS, RAW)
        return cls(term, value, within, options.string("label", "match"), options.string("check", ""), views)

    def is_quick(self, parts: Sequence[Part]) -> bool:
        size = sum(len(part.text) for part in parts)
        return super().is_quick(parts) and (self._views == RAW or size <= INLINE_VIEWED)

    def spans(self, text: str) -> Iterator[Span]:
        return iter(search("near", text, self._views, self._found))

    def _found(self, text: str) -> Iterator[Span]:
        terms = _places(self._term, text)
        if not terms:
            return
        starts, ends = [start for start, _ in terms], sorted(end for _, end in terms)
        for start, end in _places(self._value, text):
            before = bisect_left(ends, start - self._within)
            behind = bisect_left(starts, end)
            is_near = (before < len(ends) and ends[before] <= start) or (
                behind < len(starts) and starts[behind] <= end + self._within
            )
            whole = (0, end - start)
            if is_near and (found := held(self._check, text[start:end], self._fits) if self._check else whole):
                yield Span(start + found[0], start + found[1], self._label)

    def _fits(self, piece: str) -> bool:
        return (0, len(piece)) in _places(self._value, piece)


def _places(pattern: re2._Regexp, text: str) -> list[tuple[int, int]]:
    return [match.span() for match in matches(pattern, text) if match.end() > match.start()]
