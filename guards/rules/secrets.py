"""Credentials in text: keys, tokens, and passwords next to their names.

Why the patterns are our own and not a library's: docs/decisions/0004-secrets-patterns.md. Spans cover the secret itself
and not its name, so that redaction leaves a readable line. A match is checked for structure before it counts, because
a guard that stops on every hash or placeholder is soon switched off. Nothing here verifies a credential with its
issuer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge

import re2

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, compile_re2, matches
from guards.rules.secret_patterns import GROUPS, LABELS, NAMED, SHAPES, is_real_shape, is_real_value
from guards.verdict import Span


class SecretsGuard(RuleGuard):
    """`find` selects among LABELS; `cloud_key` and `api_key` stand for groups of them."""

    reads_codes = "always"

    def __init__(self, find: Iterable[str] = LABELS) -> None:
        super().__init__("secrets", 4)
        wanted = {label for name in find for label in GROUPS.get(name, (name,))}
        if unknown := sorted(wanted - set(LABELS)):
            known = ", ".join((*LABELS, *GROUPS))
            raise GuardSetupError("secrets", f"`{unknown[0]}` is not one of {known}", "find")
        if not wanted:
            raise GuardSetupError("secrets", "nothing to find, expected at least one label", "find")
        self._shapes = _Alternatives({label: SHAPES[label] for label in SHAPES if label in wanted})
        self._named = _Alternatives({label: NAMED[label] for label in NAMED if label in wanted})

    def spans(self, text: str) -> Iterator[Span]:
        return merge(self._shaped(text), self._assigned(text))

    def _shaped(self, text: str) -> Iterator[Span]:
        for label, match, at in self._shapes.hits(text):
            if is_real_shape(label, match.group()):
                yield Span(at, at + match.end(), label)

    def _assigned(self, text: str) -> Iterator[Span]:
        for label, match, at in self._named.hits(text):
            start, end = next(match.span(i) for i, value in enumerate(match.groups(), 1) if value is not None)
            whole = match.group()
            name = whole[:start].rstrip(" \t\r\n=:>\"'`\\]")
            quoted = whole[start - 1] in "\"'`"
            if not quoted and text[at + end : at + end + 1] in ("(", "["):  # a call or a look-up in code
                continue
            if is_real_value(label, name, whole[start:end], quoted):
                yield Span(at + start, at + end, label)


class _Alternatives:
    """Several labelled patterns as one.

    The joined pattern has no groups: with them RE2 leaves its automaton and a text full of near misses costs ten times
    as much. Which alternative it was, and its groups, are read from the matched characters alone.
    """

    def __init__(self, patterns: dict[str, str]) -> None:
        joined = "|".join(f"(?:{pattern})" for pattern in patterns.values())
        self._joined = compile_re2(joined, captures=False) if patterns else None
        self._each = [(label, compile_re2(pattern)) for label, pattern in patterns.items()]

    def hits(self, text: str) -> Iterator[tuple[str, re2._Match, int]]:
        """Label, match within the matched characters, and where these begin in the text."""
        if self._joined is None:
            return
        for found in matches(self._joined, text):
            for label, pattern in self._each:
                if match := pattern.fullmatch(found.group()):
                    yield label, match, found.start()
                    break
