"""Tokens in a model's answer turned back into what they stand for, before anything of the answer is judged.

Guards and rules see the text that the client would read, so a rule about answers holds for what comes back as well. A
token may come in pieces: what could be the beginning of one waits for the next piece, and leaves at the end of its
channel as it is. Inside the arguments of a tool call the text is written as JSON writes it. Log-probabilities belong to
the model's own words; an exchange with tokens has none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Final

from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, ToolDelta
from gateway.jsonstrict import dumps

PIECE: Final = 16_384
"""Characters after which what was made of one event goes on: an answer that is too long is noticed as it grows."""
_Place = tuple[int, Channel | int]
"""A choice with one of its channels, or the number of one of its calls."""


class _Tokens:
    """What to look for. A request may have made thousands of them."""

    def __init__(self, originals: Mapping[str, str]) -> None:
        self.originals, self._sorted = originals, sorted(originals)
        self.find = re.compile("|".join(re.escape(token) for token in sorted(originals, key=len, reverse=True)))
        self.longest = max(map(len, originals))

    def begins(self, text: str) -> bool:
        """Whether some token begins so."""
        at = bisect_left(self._sorted, text)
        return at < len(self._sorted) and self._sorted[at].startswith(text)


class _Restorer:
    """One text as it comes."""

    def __init__(self, tokens: _Tokens) -> None:
        self._tokens = tokens
        self._rest = ""

    def take(self, text: str) -> Iterator[str]:
        """What can be said now, in pieces: a token of ten characters may stand for a whole page."""
        text = self._rest + text
        out: list[str] = []
        at = size = 0
        for found in self._tokens.find.finditer(text):
            out.extend((text[at : found.start()], self._tokens.originals[found[0]]))
            at = found.end()
            size += len(out[-1])
            if size > PIECE:
                yield "".join(out)
                out, size = [], 0
        kept = self._begun(text, at)
        self._rest = text[kept:]
        yield "".join((*out, text[at:kept]))

    def _begun(self, text: str, at: int) -> int:
        """Where a token may have begun that is not complete."""
        for start in range(max(at, len(text) - self._tokens.longest + 1), len(text)):
            if self._tokens.begins(text[start:]):
                return start
        return len(text)

    def end(self) -> str:
        """What was no token after all."""
        rest, self._rest = self._rest, ""
        return rest


def restored(events: AsyncGenerator[AnswerEvent], originals: Mapping[str, str]) -> AsyncGenerator[AnswerEvent]:
    """The events with tokens turned back; without tokens, the events."""
    return _restored(events, originals) if originals else events


async def _restored(events: AsyncGenerator[AnswerEvent], originals: Mapping[str, str]) -> AsyncGenerator[AnswerEvent]:
    texts: dict[_Place, _Restorer] = {}
    plain = _Tokens(originals)
    in_json = _Tokens({token: dumps(text).decode()[1:-1] for token, text in originals.items()})
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, TextDelta | ToolDelta | Finish):
                yield event
            elif isinstance(event, Finish):
                for left in _left(texts, event.choice):
                    yield left
                yield event
            elif isinstance(event, TextDelta):
                for piece in texts.setdefault((event.choice, event.channel), _Restorer(plain)).take(event.text):
                    if piece:
                        yield TextDelta(event.choice, event.channel, piece)
            else:
                for piece in texts.setdefault((event.choice, event.index), _Restorer(in_json)).take(event.arguments):
                    yield ToolDelta(event.choice, event.index, event.id, event.name, piece)


def _left(texts: dict[_Place, _Restorer], choice: int) -> Iterable[TextDelta | ToolDelta]:
    for place in [place for place in texts if place[0] == choice]:
        rest, where = texts.pop(place).end(), place[1]
        if rest and isinstance(where, Channel):
            yield TextDelta(choice, where, rest)
        elif rest and isinstance(where, int):
            yield ToolDelta(choice, where, None, None, rest)
