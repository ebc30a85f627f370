"""What all guards without a model share: text in, spans out, and no stall of the event loop.

A rule is sure of what it reports, so the score is 0 or 1,000,000 and never between. Small batches are scanned where
they are, larger ones in a thread. The bounds, measured on two busy cores: a batch scanned inline takes some 10 µs, and
at most about 8 ms when its text is made to be expensive; while a thread scans 10 MB, the event loop waits for single
steps that hold the interpreter lock (encoding the text for RE2, a chunk of 64 Ki characters), up to about 15 ms.

A text with more than MAX_SPANS hits of one label gets one last span of it that runs to its end: redaction then removes
too much, never too little, and memory does not grow with the attacker's patience. Other labels are looked for all the
same: a thousand addresses in front of a key do not hide the key.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import re2

from guards.rules.lined import is_document, lined, told_once
from guards.verdict import NO_CONTEXT, PPM, Context, GuardIdentity, Part, Span, Verdict

INLINE_ASCII = 8_192
INLINE_OTHER = 4_096
"""Characters of a batch that are scanned on the event loop; outside ASCII a character costs more."""
MAX_SPANS = 1_024
CHUNK = 65_536
"""Characters per call of anything that holds the interpreter lock while it runs."""

CLEAN = Verdict(0)
_SURROGATE = re.compile("[\ud800-\udfff]")


class RuleGuard(ABC):
    """A guard that finds characters. Subclasses give `spans`; the rest follows."""

    labels: tuple[str, ...] = ()
    """What its spans may be labelled with, of which a single one lets a search end early, and …"""
    settings: Mapping[str, str | int | tuple[str, ...] | Mapping[str, str]] = MappingProxyType({})
    """… its options in one spelling, of a guard that reads them itself (policies/read_detectors.py)."""
    reads_codes: ClassVar[str] = "never"
    """Whether it also reads a text with line breaks where codes for them stand (lined.py): `always`, in a `document`,
    that is in JSON, or `never`. In running text `\\n` may begin a folder or a formula."""
    known_after: float = 0
    """Characters after which a find is known to be one: what a stream has to hold back to redact it whole."""

    def __init__(self, use: str, version: int) -> None:
        self.identity = GuardIdentity(use, f"{use}/{version}")

    @abstractmethod
    def spans(self, text: str) -> Iterator[Span]:
        """Every hit, by rising start. Pure, and linear in the text."""

    def ready(self) -> None:
        """Reads what the first text would have to wait for. Called where a guard is built to judge, never on a loop."""
        return

    def is_quick(self, parts: Sequence[Part]) -> bool:
        """Whether `judge_now` may run on the event loop."""
        size, is_ascii = 0, True
        for part in parts:
            size += len(part.text)
            is_ascii = is_ascii and part.text.isascii()
        return size <= (INLINE_ASCII if is_ascii else INLINE_OTHER)

    def judge_now(self, parts: Sequence[Part]) -> list[Verdict]:
        return [self._read(part.text) for part in parts]

    async def judge(self, parts: Sequence[Part], context: Context = NO_CONTEXT) -> list[Verdict]:
        if self.is_quick(parts):
            return self.judge_now(parts)
        return await asyncio.to_thread(self.judge_now, parts)

    def _read(self, text: str) -> Verdict:
        verdict = self._verdict(text)
        is_read = self.reads_codes == "always" or (self.reads_codes == "document" and is_document(text))
        read = lined(text) if is_read else None
        if read is None:
            return verdict
        again = self._verdict(read)
        return Verdict(PPM, spans=tuple(told_once(verdict.spans, again.spans, read))) if again.spans else verdict

    def _verdict(self, text: str) -> Verdict:
        found: list[Span] = []
        counts: Counter[str] = Counter()
        for span in self.spans(text):
            counts[span.label] += 1
            if counts[span.label] < MAX_SPANS:
                found.append(span)
            elif counts[span.label] == MAX_SPANS:
                found.append(Span(span.start, len(text), span.label))
                if len(self.labels) == 1:
                    break
        return Verdict(PPM, spans=tuple(sorted(found))) if found else CLEAN


def compile_re2(pattern: str, *, captures: bool = True, longest: bool = False) -> re2._Regexp:
    """RE2 prints patterns that do not compile to stderr unless it is told not to. Raises re2.error.

    Without captures a match tells only where it is, and RE2 finds it with its automaton alone. `longest`: of the
    matches that begin at one place, and not the alternative that is written first.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not captures
    options.longest_match = longest
    return re2.compile(pattern, options)


def matches(pattern: re2._Regexp, text: str) -> Iterator[re2._Match]:
    """All matches in characters of `text`, without failing on lone surrogates, which RE2 cannot encode."""
    try:
        yield from pattern.finditer(text)
    except UnicodeEncodeError:  # raised before the first match
        yield from pattern.finditer(_SURROGATE.sub("\ufffd", text))


def runs(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Maximal runs of a `[…]+` pattern, read in chunks so that other threads get the interpreter lock in between."""
    start = end = -1
    for low in range(0, len(text), CHUNK):
        for match in pattern.finditer(text, low, low + CHUNK):
            if match.start() == end:
                end = match.end()
                continue
            if end > 0:
                yield start, end
            start, end = match.span()
    if end > 0:
        yield start, end


def occurs(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a one-character pattern matches anywhere; chunked for the same reason as `runs`."""
    if len(text) <= CHUNK:
        return pattern.search(text) is not None
    return any(pattern.search(text, low, low + CHUNK) for low in range(0, len(text), CHUNK))
