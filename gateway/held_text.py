"""One channel's text between its arrival and its release. Pure, like the Holdback that keeps one for each channel.

What is kept back beyond the policy's `holdback`: a span that is to be redacted and is still growing, and, where the
policy redacts, a long word without an end. A token of 2,000 characters is known for what it is only at its second dot;
until then nothing of it may leave.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.alignment import Alignment, Placed
from gateway.exchange import Channel, TokenLogprob
from policies.model import Redaction

LONGEST_RUN: Final = 8_192
"""A word longer than this is data and no credential; holding more of it would only delay it."""
_RUN: Final = re.compile(r"""[!#-&*+\-./0-9:=?@A-Z\\^_a-z~]*""")
"""What keys, tokens and passwords in addresses are made of: ASCII without spaces, quotes, commas, brackets."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The characters [start, end) of one channel that a window holds as one part."""

    choice: int
    channel: Channel
    path: str
    start: int
    end: int


@dataclass(slots=True)
class HeldText:
    """Counts are in characters of the text as it came."""

    length: int = 0
    judged: int = 0
    released: int = 0
    reluctance: int = 0
    """New text that makes another judging worth it, while more is kept back than the policy asks for: judging all of
    that again for each window would cost its square."""
    _pieces: list[str] = field(default_factory=list, repr=False)
    _arrivals: deque[tuple[int, float]] = field(default_factory=deque)
    """(length from then on, when it came), for text that has not left."""
    _cuts: list[tuple[int, int]] = field(default_factory=list)
    """What was redacted and has left as its replacement; sorted, apart."""
    _alignment: Alignment | None = None
    _tokens: deque[Placed] = field(default_factory=deque)

    def add(self, text: str, at: float, tokens: Sequence[TokenLogprob] | None) -> None:
        """Take in a piece; `tokens` is None where they are not wanted."""
        if tokens is not None:
            self._alignment = self._alignment or Alignment()
            self._tokens.extend(self._alignment.place(text, tokens))
        if not text:
            return
        self._pieces.append(text)
        self.length += len(text)
        if self._arrivals and self._arrivals[-1][1] == at:
            self._arrivals.pop()
        self._arrivals.append((self.length, at))

    def whole(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def unjudged_since(self) -> float | None:
        """When the oldest text came that waits for its first verdict."""
        return next((at for length, at in self._arrivals if length > self.judged), None)

    def unreleased_since(self) -> float | None:
        """When the oldest text came that has not left."""
        return self._arrivals[0][1] if self._arrivals else None

    def has_leaked(self, cut: Redaction, start: int, *, final: bool) -> bool:
        """Whether characters of the span have left as they are. `start` is where the cut's part begins.

        A span at the very beginning of a part that begins inside the text may be the rest of another one. Spans that
        lie behind altogether count in the final window only, which sees the whole text.
        """
        first, after = start + cut.start, start + cut.end
        if first >= self.released or (after <= self.released and not final) or (cut.start == 0 < start):
            return False
        at = bisect_right(self._cuts, (first, self.length)) - 1
        return at < 0 or self._cuts[at][1] < min(after, self.released)

    def limit(self, stretch: Stretch, cuts: Sequence[Redaction], holds: int, whole_runs: bool) -> int:
        """How far the text may leave after its window was judged: neither a span nor a long word in halves."""
        usual = until = max(self.released, stretch.end - holds)
        for cut in cuts:
            if stretch.start + cut.start < until < stretch.start + cut.end:
                until = max(self.released, stretch.start + cut.start)
        if whole_runs and until == usual:
            until = self._before_run(until, stretch.end)
        self.reluctance = (usual - until) // 4
        return until

    def _before_run(self, until: int, end: int) -> int:
        """`until`, or the beginning of the word around it when that word has no end yet."""
        tail = self.whole()[self.released : end]
        run = _RUN.match(tail[::-1])
        begins = end - (run.end() if run else 0)
        return max(self.released, begins) if begins < until and end - begins <= LONGEST_RUN else until

    def release(self, stretch: Stretch, cuts: Sequence[Redaction], until: int) -> tuple[str, tuple[TokenLogprob, ...]]:
        """The text up to `until` with redactions made, and the tokens that lie wholly in it."""
        self.judged = max(self.judged, stretch.end)
        whole, at = self.whole(), self.released
        out: list[str] = []
        for cut in cuts:
            first, after = stretch.start + cut.start, stretch.start + cut.end
            if after <= at or first >= until:
                continue
            out.extend((whole[at : max(at, first)], cut.replacement))
            self._remember(max(at, first), after)
            at = after
        out.append(whole[at:until])
        self.released = max(until, at)
        while self._arrivals and self._arrivals[0][0] <= self.released:
            self._arrivals.popleft()
        return "".join(out), tuple(self._leaving())

    def _remember(self, first: int, after: int) -> None:
        if self._cuts and first <= self._cuts[-1][1]:
            first, _ = self._cuts.pop()
        self._cuts.append((first, after))

    def _leaving(self) -> list[TokenLogprob]:
        leaving: list[TokenLogprob] = []
        while self._tokens and self._tokens[0].end <= self.released:
            placed = self._tokens.popleft()
            at = bisect_right(self._cuts, (placed.end - 1, self.length)) - 1
            if at < 0 or self._cuts[at][1] <= placed.start:
                leaving.append(placed.token)
        return leaving
