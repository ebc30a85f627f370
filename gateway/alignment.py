"""Which characters of an answer each token stands for: a token's probability leaves with its text, or not at all.

A model server sends text and tokens side by side, not as one: text may come later than its tokens (a stop string might
begin, a character is not whole yet), and tokens come that are no text of this channel (an end of turn, a thought, a
tool call). A token is placed only where its bytes are the text's bytes. One that fits nowhere is left out: its bytes
are text that nobody judged. What leaves is written from judged characters, so a wrong guess here can misplace a number
and never let out a byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.exchange import TokenLogprob

_WAITING: Final = 1_024
"""Tokens kept while their text has not come. A stop string or a character takes a few."""
_GARBLED: Final = "\ufffd".encode()
"""What servers write for a token that is part of a character."""
_LOOKAHEAD: Final = 16
"""Bytes after such a token in which the next one is looked for."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A token and the characters [start, end) it is part of, or all of."""

    start: int
    end: int
    token: TokenLogprob


@dataclass(slots=True)
class Alignment:
    """Of one channel's text with the tokens that came with it. Feed it every piece, in order."""

    _char: int = 0
    """Characters before byte `_at` of `_text`."""
    _text: bytes = field(default=b"", repr=False)
    _at: int = 0
    """Where the first character begins that no token stands for in full."""
    _taken: int = 0
    """Bytes of that character which tokens stand for already."""
    _waiting: list[TokenLogprob] = field(default_factory=list)
    _loose: bool = False

    def place(self, text: str, tokens: Sequence[TokenLogprob]) -> list[Placed]:
        """The tokens that have their place now that this text and these tokens have come."""
        if not self._waiting:
            self._skip(len(self._text))  # text whose tokens never came: begin again with this piece
        data, waiting = text.encode(), [*self._waiting, *tokens]
        if tokens and data and self._at == len(self._text):
            waiting = _from_where_it_says(data, waiting)
        self._text, self._at = self._text[self._at :] + data, 0
        placed: list[Placed] = []
        for number, token in enumerate(waiting):
            if self._is_cut_off(token.data):
                self._waiting = waiting[number:][-_WAITING:]
                return placed
            if token.data and self._reaches(token.data):
                placed.append(self._take(token))
            else:
                self._loose = self._loose or _GARBLED in token.data
        self._waiting = []
        return placed

    def _is_cut_off(self, data: bytes) -> bool:
        """Whether the text ends inside this token, as far as it has come."""
        left = len(self._text) - self._at - self._taken
        return left < len(data) and data.startswith(self._text[self._at + self._taken :])

    def _reaches(self, data: bytes) -> bool:
        """Whether the text goes on with `data`; after a garbled token, whether it does a little further on."""
        at = self._at + self._taken
        if self._text.startswith(data, at):
            return True
        found = self._text.find(data, at, at + _LOOKAHEAD + len(data)) if self._loose else -1
        if found > 0:
            self._skip(found)
        return found > 0

    def _take(self, token: TokenLogprob) -> Placed:
        start = self._char
        self._loose = False
        self._skip(self._at + self._taken + len(token.data))
        return Placed(start, self._char + (self._taken > 0), token)

    def _skip(self, to: int) -> None:
        """Move to byte `to` of `_text`: over whole characters, and into the one that it cuts."""
        whole = self._text[self._at : to].decode("utf-8", "ignore")
        used = len(whole.encode())
        self._char, self._at = self._char + len(whole), self._at + used
        self._taken = to - self._at


def _from_where_it_says(data: bytes, tokens: list[TokenLogprob]) -> list[TokenLogprob]:
    """Without the tokens before the text, when a whole answer comes with those of its thoughts or calls as well."""
    joined = b"".join(token.data for token in tokens)
    before = 0 if joined.startswith(data) else joined.rfind(data)
    for number, token in enumerate(tokens):
        if before <= 0:
            return tokens[number:]
        before -= len(token.data)
    return tokens
