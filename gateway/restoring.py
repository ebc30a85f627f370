"""Tokens in a model's answer turned back into what they stand for, before anything of the answer is judged.

Guards and rules see the text that the client would read, so a rule about answers holds for what comes back as well. A
token may come in pieces: what could be the beginning of one waits for the next piece, and leaves at the end of its
channel as it is. Inside the arguments of a tool call the text is written as JSON writes it. Log-probabilities belong to
the model's own words; an exchange with tokens has none.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing

from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, ToolDelta
from gateway.jsonstrict import dumps

_Place = tuple[int, Channel | int]
"""A choice with one of its channels, or the number of one of its calls."""


class _Restorer:
    """One text as it comes."""

    def __init__(self, originals: Mapping[str, str]) -> None:
        self._originals = originals
        self._find = re.compile("|".join(re.escape(token) for token in sorted(originals, key=len, reverse=True)))
        self._longest = max(map(len, originals))
        self._rest = ""

    def take(self, text: str) -> str:
        """What can be said now."""
        text = self._rest + text
        out: list[str] = []
        at = 0
        for found in self._find.finditer(text):
            out.extend((text[at : found.start()], self._originals[found[0]]))
            at = found.end()
        kept = self._begun(text, at)
        self._rest = text[kept:]
        return "".join((*out, text[at:kept]))

    def _begun(self, text: str, at: int) -> int:
        """Where a token may have begun that is not complete."""
        for start in range(max(at, len(text) - self._longest + 1), len(text)):
            if any(token.startswith(text[start:]) for token in self._originals):
                return start
        return len(text)

    def end(self) -> str:
        """What was no token after all."""
        rest, self._rest = self._rest, ""
        return rest


async def restored(events: AsyncGenerator[AnswerEvent], originals: Mapping[str, str]) -> AsyncGenerator[AnswerEvent]:
    """The events with tokens turned back; without tokens, the events."""
    texts: dict[_Place, _Restorer] = {}
    in_json = {token: dumps(text).decode()[1:-1] for token, text in originals.items()}
    async with aclosing(events):
        async for event in events:
            if not originals or not isinstance(event, TextDelta | ToolDelta | Finish):
                yield event
            elif isinstance(event, Finish):
                for left in _left(texts, event.choice):
                    yield left
                yield event
            elif isinstance(event, TextDelta):
                text = texts.setdefault((event.choice, event.channel), _Restorer(originals)).take(event.text)
                if text:
                    yield TextDelta(event.choice, event.channel, text)
            else:
                call = texts.setdefault((event.choice, event.index), _Restorer(in_json))
                yield ToolDelta(event.choice, event.index, event.id, event.name, call.take(event.arguments))


def _left(texts: dict[_Place, _Restorer], choice: int) -> Iterable[TextDelta | ToolDelta]:
    for place in [place for place in texts if place[0] == choice]:
        rest, where = texts.pop(place).end(), place[1]
        if rest and isinstance(where, Channel):
            yield TextDelta(choice, where, rest)
        elif rest and isinstance(where, int):
            yield ToolDelta(choice, where, None, None, rest)
