"""A pattern that the policy gives, in RE2 syntax.

RE2 matches without backtracking, so no pattern can hang a guard. One match costs one pass over the text at most; a
pattern such as `a.*z|a` can cost a pass for every match, which is why the number of spans is capped (see base.py).
Letters and word boundaries follow RE2: `\\b`, `\\d` and `\\w` know ASCII only.
"""

from __future__ import annotations

from collections.abc import Iterator

import re2

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, compile_re2, matches
from guards.verdict import Span

MAX_PATTERN = 4_096


class RegexGuard(RuleGuard):
    """Every match of the pattern becomes a span with the label."""

    def __init__(self, pattern: str, label: str = "match") -> None:
        super().__init__("regex", 1)
        self._label = label
        if not label:
            raise GuardSetupError("regex", "the label is empty", "label")
        if not 0 < len(pattern) <= MAX_PATTERN:
            raise GuardSetupError(
                "regex", f"the pattern has {len(pattern)} characters, expected 1 to {MAX_PATTERN}", "pattern"
            )
        try:
            self._pattern = compile_re2(pattern)
        except (re2.error, UnicodeEncodeError) as exc:
            raise GuardSetupError("regex", f"not a pattern that RE2 accepts: {_reason(exc)}", "pattern") from exc
        if self._pattern.search("") is not None:
            raise GuardSetupError("regex", "the pattern matches empty text, so it would match everywhere", "pattern")

    def spans(self, text: str) -> Iterator[Span]:
        for match in matches(self._pattern, text):
            if match.end() > match.start():  # `\b` matches nothing in empty text and still matches without characters
                yield Span(match.start(), match.end(), self._label)


def _reason(exc: Exception) -> str:
    reason = exc.args[0] if exc.args and isinstance(exc.args[0], bytes) else b"it is not valid Unicode"
    return reason.decode("utf-8", "replace")
