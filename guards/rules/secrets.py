"""Credentials in text: keys, tokens, and passwords next to their names.

Why the patterns are our own and not a library's: docs/decisions/secrets-patterns.md. Spans cover the secret itself
and not its name, so that redaction leaves a readable line. A match is checked for structure before it counts, because
a guard that stops on every hash or placeholder is soon switched off. Nothing here verifies a credential with its
issuer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, compile_re2, matches
from guards.rules.secret_patterns import GROUPS, LABELS, NAMED, SHAPES, is_real_shape, is_real_value
from guards.verdict import Span


class SecretsGuard(RuleGuard):
    """`find` selects among LABELS; `cloud_key` and `api_key` stand for groups of them."""

    def __init__(self, find: Iterable[str] = LABELS) -> None:
        super().__init__("secrets", 1)
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
        for label, groups in self._shapes.hits(text):
            start, end = groups[0]
            if is_real_shape(label, text[start:end]):
                yield Span(start, end, label)

    def _assigned(self, text: str) -> Iterator[Span]:
        for label, groups in self._named.hits(text):
            whole, (start, end) = groups[0], groups[-1]
            name = text[whole[0] : start].rstrip(" \t\r\n=:>\"'`\\]")
            if is_real_value(label, name, text[start:end], text[start - 1] in "\"'`"):
                yield Span(start, end, label)


class _Alternatives:
    """Several labelled patterns as one; a hit tells which one, and where its filled groups are."""

    def __init__(self, patterns: dict[str, str]) -> None:
        self._pattern = compile_re2("|".join(f"({pattern})" for pattern in patterns.values())) if patterns else None
        self._labels: dict[int, str] = {}
        group = 1
        for label, pattern in patterns.items():
            self._labels[group] = label
            group += 1 + compile_re2(pattern).groups

    def hits(self, text: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        if self._pattern is None:
            return
        for match in matches(self._pattern, text):
            filled = [i for i in range(1, self._pattern.groups + 1) if match.start(i) >= 0]
            yield self._labels[filled[0]], [match.span(i) for i in filled]
