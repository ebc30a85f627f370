"""The values between the steps of one exchange. They are frozen, and know nothing of HTTP.

ChatRequest is the request as we understood it: the body that will be forwarded and the parts in it that guards judge.
Both come from one walk over the caller's JSON (gateway/wire.py), so no text is in the one and not in the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gateway.jsonstrict import Json
from guards.verdict import Part


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the key says. The body has no say in this (promise 6)."""

    key_id: str
    tenant: str
    app: str
    claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What is said of its requests, by name: set with the key, or by the client where the key lets it."""
    may_claim: frozenset[str] = frozenset()
    """What the client may say itself."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion request, checked."""

    model: str
    """The public name the caller asked for."""
    body: dict[str, Json] = field(repr=False)
    """What goes upstream once judged; `model` is replaced by the upstream's own name."""
    parts: tuple[Part, ...]
    stream: bool
    include_usage: bool
    n: int
    bytes_in: int
    logprobs: bool = False
    """Whether the log-probabilities of the tokens are wanted."""
    person: str = field(default="", repr=False)
    """For whom the request says it is made: a claim."""


class Channel(StrEnum):
    """The text-bearing fields of an answer's message."""

    CONTENT = "content"
    REASONING = "reasoning_content"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that the model drew: its bytes, and how likely it was. Not judged yet."""

    data: bytes = field(repr=False)
    logprob: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of an answer, as the model server sent it. Not judged yet."""

    choice: int
    channel: Channel
    text: str = field(repr=False)
    tokens: tuple[TokenLogprob, ...] = field(default=(), repr=False)

    @property
    def size(self) -> int:
        """What it costs to keep, in characters."""
        return len(self.text) + len(self.tokens)


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """A piece of a tool call. `id` and `name` come with the first piece of each call."""

    choice: int
    index: int
    id: str | None
    name: str | None
    arguments: str = field(repr=False)

    @property
    def size(self) -> int:
        """What it costs to keep, in characters."""
        return len(self.arguments)


@dataclass(frozen=True, slots=True)
class Finish:
    """A choice is complete."""

    choice: int
    reason: str
    size = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the model server reports them: integers only."""

    counts: dict[str, Json]
    size = 0


AnswerEvent = TextDelta | ToolDelta | Finish | Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole tool call, judged."""

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReleasedText:
    """Judged text of one channel, in order. These are the only bytes of an answer that reach a client."""

    choice: int
    channel: Channel
    text: str = field(repr=False)
    tokens: tuple[TokenLogprob, ...] = field(default=(), repr=False)
    """Those that lie wholly in released text, and in nothing that was redacted."""


@dataclass(frozen=True, slots=True)
class ReleasedCalls:
    """The judged tool calls of one choice."""

    choice: int
    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class Ended:
    """A choice ended; nothing of it follows."""

    choice: int
    reason: str


Released = ReleasedText | ReleasedCalls | Ended | Usage
