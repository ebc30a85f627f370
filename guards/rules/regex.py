"""A pattern that the policy gives, in RE2 syntax.

RE2 matches without backtracking, so no pattern can hang a guard. One match costs one pass over the text at most; a
pattern such as `a.*z|a` can cost a pass for every match, which is why the number of spans is capped (see base.py).
Letters and word boundaries follow RE2: `\\b`, `\\d` and `\\w` know ASCII only; other digits are read as those.
With `views` the pattern is also looked for where words are hidden (guards/rules/pattern_search.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import re2

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, compile_re2, matches
from guards.rules.checksums import CHECKS, held
from guards.rules.pattern_search import INLINE_VIEWED, RAW, search
from guards.rules.reach import longest
from guards.verdict import Part, Span

MAX_PATTERN = 4_096


class RegexGuard(RuleGuard):
    """Every match of the pattern, and of the check if one is named, becomes a span with the label."""

    reads_codes = "document"

    def __init__(self, pattern: str, label: str = "match", views: Sequence[str] = RAW, check: str = "") -> None:
        super().__init__("regex", 3)
        self._label, self._views = checked_label("regex", label), tuple(views)
        self.labels = (label,)
        self._check = CHECKS[checked_name("regex", check)] if check else None
        self._pattern = (bounded_pattern if check else checked_pattern)("regex", pattern)

    def is_quick(self, parts: Sequence[Part]) -> bool:
        size = sum(len(part.text) for part in parts)
        return super().is_quick(parts) and (self._views == RAW or size <= INLINE_VIEWED)

    def spans(self, text: str) -> Iterator[Span]:
        return iter(search("regex", text, self._views, self._found))

    def _found(self, text: str) -> Iterator[Span]:
        for match in matches(self._pattern, text):
            if match.end() == match.start():  # `\b` matches nothing in empty text and still matches without characters
                continue
            start, end = match.span()
            if self._check is None:
                yield Span(start, end, self._label)
            elif found := held(self._check, text[start:end], self._fits):
                yield Span(start + found[0], start + found[1], self._label)

    def _fits(self, piece: str) -> bool:
        """Whether it is a match by itself."""
        return any(match.span() == (0, len(piece)) for match in matches(self._pattern, piece))


def checked_label(use: str, label: str) -> str:
    if not label:
        raise GuardSetupError(use, "the label is empty", "label")
    return label


def checked_name(use: str, check: str) -> str:
    """Of a check, or GuardSetupError."""
    if check not in CHECKS:
        raise GuardSetupError(use, f"expected one of {', '.join(CHECKS)}", "check")
    return check


def checked_pattern(use: str, pattern: str, option: str = "pattern") -> re2._Regexp:
    """A pattern of a policy, compiled; GuardSetupError when it cannot be used."""
    if not 0 < len(pattern) <= MAX_PATTERN:
        told = f"the pattern has {len(pattern)} characters, expected 1 to {MAX_PATTERN}"
        raise GuardSetupError(use, told, option)
    try:
        compiled = compile_re2(pattern)
    except (re2.error, UnicodeEncodeError) as exc:
        raise GuardSetupError(use, f"not a pattern that RE2 accepts: {_reason(exc)}", option) from exc
    if compiled.search("") is not None:
        raise GuardSetupError(use, "the pattern matches empty text, so it would match everywhere", option)
    return compiled


def bounded_pattern(use: str, pattern: str, option: str = "pattern") -> re2._Regexp:
    """One whose matches have a longest form. Where a match may count for nothing, the cap on spans ends no search, and
    a pattern such as `a.*z|a` would cost a pass over the text for each of them."""
    compiled = checked_pattern(use, pattern, option)
    if longest(pattern) == math.inf:
        told = "a match may be of any length, expected bounds such as `{1,40}` in place of `+` and `*`"
        raise GuardSetupError(use, told, option)
    return compiled


def _reason(exc: Exception) -> str:
    reason = exc.args[0] if exc.args and isinstance(exc.args[0], bytes) else b"it is not valid Unicode"
    return reason.decode("utf-8", "replace")
