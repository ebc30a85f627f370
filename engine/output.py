"""Tokens to text that may be shown: whole characters, and nothing of a stop string.

A character may be spread over tokens, and a stop string over many. Text is held back while its end could still belong
to either; what was let out is never taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

LONGEST_CHARACTER = 4
"""Tokens that one character can be spread over. More that do not decode are not UTF-8 and are shown as U+FFFD."""
REPLACEMENT = "\ufffd"


class Decodes(Protocol):
    """The part of a TextTokenizer that is needed here."""

    def text(self, ids: Sequence[int]) -> str: ...


class Detokeniser:
    """Text of one answer, growing token by token. Decodes a short tail each time, not the whole answer."""

    def __init__(self, tokenizer: Decodes) -> None:
        self._tokenizer = tokenizer
        self._context: list[int] = []
        """Tokens whose text is out; decoded along, because some tokenizers look at the token before."""
        self._held: list[int] = []

    def push(self, token: int) -> str:
        """The characters that this token completes; often one token's text, sometimes none."""
        self._held.append(token)
        text = self._pending()
        if text.endswith(REPLACEMENT) and len(self._held) < LONGEST_CHARACTER:
            return ""
        self._context, self._held = self._held, []
        return text

    def finish(self) -> str:
        """What is still held: bytes of a character that never became whole."""
        text = self._pending() if self._held else ""
        self._held = []
        return text

    def _pending(self) -> str:
        known = self._tokenizer.text(self._context)
        return self._tokenizer.text([*self._context, *self._held])[len(known) :]


class StopStrings:
    """Looks for the first stop string in a growing text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """What may be shown now. After a hit: what stood before the stop string, and nothing later."""
        if self.hit:
            return ""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.hit = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = self._undecided()
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        shown, self._held = self._held, ""
        return shown

    def _undecided(self) -> int:
        """Length of the longest end of the text that a stop string could begin with."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
