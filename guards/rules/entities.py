"""Personal identifiers: what has a form, check digits, or a word beside it that says what it is.

Names of people, places and firms have none of these; asked for them, the guard refuses to load instead of finding
some. Why the patterns are our own: docs/decisions/0015-entities-by-pattern.md. Spans cover the value without the words
around it, and one that lies inside another is left out. The text is read folded: digits in other shapes are digits,
what may be left undrawn is not there, and spans point at the raw characters.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

import re2

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules import checksums
from guards.rules.base import RuleGuard, compile_re2, matches, occurs
from guards.rules.entity_shape import Shape
from guards.rules.entity_shapes import AFTER, CONFIGURABLE, LABELS, LOCALES, NEAR, SHAPES, UNFINDABLE
from guards.rules.reach import longest, reach
from guards.rules.regex import bounded_pattern
from guards.verdict import Span
from guards.views.folded import folded

OPTIONS: Final = frozenset(("find", "locales", "patterns"))
_GROWS: Final = frozenset(("email", "url"))
"""Words without a space: a stream keeps those whole."""
_CERTAIN: Final = frozenset(("credit_card", "iban", "fr_nir", "in_aadhaar", "uk_nino"))
_WORDS: Final = frozenset(("email", "url", "address", "ip", "dob"))
"""All others are numbers."""
_GUESSED: Final = frozenset(("phone", "bank_account", "mrn", "insurance_id", "passport", "driver_licence"))
_DIGIT: Final = re.compile("[0-9]")


class EntitiesGuard(RuleGuard):
    """`find` chooses among LABELS, `locales` among the countries, `patterns` gives a form of one's own."""

    reads_codes = "always"

    def __init__(
        self,
        find: Sequence[str] | None = None,
        locales: Sequence[str] = LOCALES,
        patterns: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("entities", 3)
        own = dict(sorted((patterns or {}).items()))
        self.labels = tuple(sorted(set(_everywhere(locales) if find is None else find)))
        where = tuple(sorted(set(locales)))
        self.settings = {"find": self.labels, "locales": where} | ({"patterns": own} if own else {})
        _check_names("find", self.labels, LABELS)
        _check_names("locales", where, LOCALES)
        _check_names("patterns", tuple(own), CONFIGURABLE)
        self._readers = [_reader(shape) for shape in _chosen(self.labels, frozenset(locales), own)]
        self.known_after = max(reader.known_after for reader in self._readers)

    @classmethod
    def of(cls, options: Options) -> EntitiesGuard:
        find = options.strings("find", ()) if "find" in options.values else None
        return cls(find, options.strings("locales", LOCALES), options.texts("patterns"))

    def spans(self, text: str) -> Iterator[Span]:
        view = folded(text)
        read = view.text
        found: list[tuple[int, int, str]] = []
        present = {needed: _has(needed, read) for needed in {reader.needs for reader in self._readers}}
        for reader in self._readers:
            if present[reader.needs]:
                found.extend((start, end, reader.label) for start, end in reader.values(read))
        for start, end, label in _told_once(found):
            yield Span(*view.raw(start, end), label)


class _Reader:
    """A shape, compiled."""

    def __init__(self, shape: Shape) -> None:
        self.label, self.needs, self._check = shape.label, shape.needs, shape.check
        self._pattern = compile_re2(shape.pattern, captures=False)
        self._near = compile_re2(shape.near, captures=False, longest=True) if shape.near else None
        is_whole = shape.check is not None or shape.label == "iban"
        known = NEAR if shape.label in _GROWS else (longest if is_whole else reach)(shape.pattern)
        self.known_after = known + (AFTER if shape.near else 0)

    def values(self, text: str) -> Iterator[tuple[int, int]]:
        words = [] if self._near is None else list(_whole_words(self._near, text))
        if self._near is not None and not words:
            return
        ends = [end for _, end in words]
        for match in matches(self._pattern, text):
            start, end = match.span()
            if self.label == "iban":
                end = _iban_end(text, start, end)
            elif self._check is not None:
                found = self._held(text[start:end])
                if found is None:
                    continue
                start, end = start + found[0], start + found[1]
            if end > start and (self._near is None or self._is_told(text, words, ends, start, end)):
                yield start, end

    def _held(self, text: str) -> tuple[int, int] | None:
        """Where the check holds; a guess holds as it stands or not at all."""
        assert self._check is not None
        if self.label in _GUESSED:
            return (0, len(text)) if self._check(text) else None
        return checksums.held(self._check, text)

    def _is_told(self, text: str, words: list[tuple[int, int]], ends: list[int], start: int, end: int) -> bool:
        """Whether a word says what the value is. Of what could be anything, only the first value after the word is."""
        if self.label not in _GUESSED or self.label == "phone":
            return _is_near(words, ends, start, end)
        before = bisect_right(ends, start) - 1
        return before >= 0 and start - ends[before] <= NEAR and not _DIGIT.search(text, ends[before], start)


@cache
def _reader(shape: Shape) -> _Reader:
    """A policy has few detectors, and every reload builds them again."""
    return _Reader(shape)


def _whole_words(pattern: re2._Regexp, text: str) -> Iterator[tuple[int, int]]:
    for match in matches(pattern, text):
        start, end = match.span()
        if not (text[start - 1 : start].isalnum() or (text[end - 1].isalnum() and text[end : end + 1].isalnum())):
            yield start, end


def _is_near(words: list[tuple[int, int]], ends: list[int], start: int, end: int) -> bool:
    """Whether a word ends shortly before the value, or begins shortly behind it."""
    at = bisect_left(ends, max(0, start - NEAR))
    return at < len(words) and (ends[at] <= start or any(end <= low <= end + AFTER for low, _ in words[at : at + 3]))


def _everywhere(locales: Sequence[str]) -> set[str]:
    """What leaving `find` out means: all that is written there."""
    return {shape.label for shape in SHAPES if not shape.locales or set(locales) & set(shape.locales)}


def _chosen(find: Sequence[str], locales: frozenset[str], own: Mapping[str, str]) -> list[Shape]:
    if not find:
        raise GuardSetupError("entities", "nothing to find, expected at least one entity", "find")
    used = [shape for shape in SHAPES if shape.label in find]
    if unasked := sorted(set(own) - set(find)):
        raise GuardSetupError("entities", f"`{unasked[0]}` is not in `find`", "patterns")
    kept = [shape for shape in used if not shape.locales or locales & set(shape.locales)]
    for label in find:
        if label not in {shape.label for shape in kept}:
            where = ", ".join(next(shape.locales for shape in used if shape.label == label))
            raise GuardSetupError(
                "entities", f"`{label}` is written in {where} only, which `locales` leaves out", "find"
            )
    return [_own(shape, own) for shape in kept]


def _own(shape: Shape, own: Mapping[str, str]) -> Shape:
    if shape.label not in own or not shape.near:
        return shape
    pattern = own[shape.label]
    bounded_pattern("entities", pattern, "patterns")
    return replace(shape, pattern=pattern, check=None)


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if option == "find" and name in UNFINDABLE:
            told = f"`{name}` has no form that a pattern could know; it takes a model, and this guard has none"
            raise GuardSetupError("entities", told, option)
        if name not in known:
            raise GuardSetupError("entities", f"`{name}` is not one of {', '.join(known)}", option)


def _has(needed: str, text: str) -> bool:
    return needed in text if needed else occurs(_DIGIT, text)


def _iban_end(text: str, start: int, end: int) -> int:
    """Where the account number ends that begins here; its start if it is none. Words may follow without a sign."""
    wanted, at, count = checksums.iban_length(text[start : start + 2]), start, 0
    while at < end and count < wanted:
        count += text[at].isalnum()
        at += 1
    is_whole = count == wanted and not text[at : at + 1].isalnum()
    return at if wanted and is_whole and checksums.iban(text[start:at]) else start


def _told_once(found: list[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """By start, and none inside another of its label. Inside a number with check digits no other number counts, and
    inside an address of the net or a number like that no guess does."""
    reached: dict[str, int] = {}
    number, certain = (-1, -1), -1
    for start, end, label in sorted(found, key=lambda one: (one[0], -one[1], one[2] in _GUESSED, one[2])):
        is_inner = end <= number[1] and (start, end) != number and label not in _WORDS
        if end <= reached.get(label, -1) or is_inner or (label in _GUESSED and end <= certain):
            continue
        reached[label] = end
        if label in _CERTAIN:
            number = max(number, (start, end), key=lambda one: one[1])
        if label in _CERTAIN or label in _GROWS:
            certain = max(certain, end)
        yield start, end, label
