"""Events of the engine to OpenAI's answers, whole or as server-sent events.

Whole and streamed answers are built from the same pieces. A text that may become a tool call is not shown until that
is decided, so a client never sees the beginning of a call as prose.
"""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.chat_format import ToolCall, parse_calls
from engine.events import Drawn, Finished, Grown, Reason
from engine.generate_wire import Asked
from engine.output import Detokeniser
from engine.tokens import REPLACEMENT, TextTokenizer

Object: TypeAlias = dict[str, Any]
DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Usage:
    """Tokens so far, over all choices."""

    prompt: int
    generated: int = 0
    computed: int = 0
    reused: dict[int, int] = field(default_factory=dict)
    """For each prompt what was there already of its keys and values, for the choice that found least."""

    def finish(self, prompt: int, event: Finished) -> None:
        """One more choice of a prompt is complete."""
        self.generated += event.generated
        self.computed += event.computed
        self.reused[prompt] = min(event.reused, self.reused.get(prompt, event.reused))

    def to_json(self) -> Object:
        total = self.prompt + self.generated
        counts: Object = {"prompt_tokens": self.prompt, "completion_tokens": self.generated, "total_tokens": total}
        return counts | {"prompt_tokens_details": {"cached_tokens": min(sum(self.reused.values()), self.prompt)}}


@dataclass(slots=True)
class Choice:
    """What one choice has shown so far."""

    offered: frozenset[str]
    demanded: bool = False
    """Whether it has to be calls."""
    text: str = field(default="", repr=False)
    tokens: list[Drawn] = field(default_factory=list, repr=False)
    calls: tuple[ToolCall, ...] = ()
    _held: str = field(default="", repr=False)
    _held_tokens: list[Drawn] = field(default_factory=list, repr=False)

    def grow(self, event: Grown) -> Grown | None:
        """What may be shown now of this event and of what was held back."""
        self._held += event.text
        self._held_tokens += event.tokens
        may_be_call = self.offered and not self.text and self._held.lstrip()[:1] in ("", "[")
        return None if may_be_call else self._show()

    def finish(self, reason: Reason) -> Grown | None:
        """Decide: all of it was a list of calls, or the rest is text. What was cut of a demanded call is neither."""
        self.calls = parse_calls(self._held, self.offered) if self.offered and not self.text else ()
        if self.calls or (self.demanded and reason is Reason.LENGTH):
            self.tokens += self._held_tokens
            self._held, self._held_tokens = "", []
        return self._show() if self._held or self._held_tokens else None

    def _show(self) -> Grown:
        shown = Grown(self._held, tuple(self._held_tokens))
        self.text += self._held
        self.tokens += self._held_tokens
        self._held, self._held_tokens = "", []
        return shown


class Answer(ABC):
    """Shared by both endpoints: identity, choices, usage."""

    kind, chunk_kind, prefix = "", "", ""

    def __init__(self, model: str, digest: str, asked: Asked, tokenizer: TextTokenizer) -> None:
        self._asked, self._tokenizer = asked, tokenizer
        self._head = {
            "id": f"{self.prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": digest,
        }
        self.choices = [Choice(asked.tools, asked.demands_calls) for _ in range(asked.choices)]
        self.reasons: list[Reason | None] = [None] * asked.choices
        self.usage = Usage(asked.prompt_tokens)

    def take(self, index: int, event: Grown | Finished) -> list[Object]:
        """The pieces of a stream that this event makes; the whole answer is made of the same state."""
        if isinstance(event, Grown):
            shown = self.choices[index].grow(event)
            return [self._delta(index, shown)] if shown is not None else []
        self.usage.finish(index // self._asked.choices_each, event)
        self.reasons[index] = event.reason
        shown = self.choices[index].finish(event.reason)
        last = [self._delta(index, shown)] if shown is not None else []
        return [*last, *self._closing(index)]

    def opening(self) -> list[Object]:
        """Pieces that come before the first token."""
        return []

    def ending(self) -> bytes:
        """What closes a stream that came to its end. One that broke off has no `[DONE]`."""
        if not self._asked.stream_usage:
            return DONE
        return event(self._head | {"object": self.chunk_kind, "choices": [], "usage": self._usage()}) + DONE

    def whole(self) -> Object:
        choices = [self._whole(index) for index in range(len(self.choices))]
        return self._head | {"object": self.kind, "choices": choices, "usage": self._usage()}

    def _usage(self) -> Object:
        return self.usage.to_json()

    def encode(self, piece: Object) -> bytes:
        """One piece as a server-sent event."""
        usage = {"usage": None} if self._asked.stream_usage else {}
        return event(self._head | {"object": self.chunk_kind, "choices": [piece]} | usage)

    def _reason(self, index: int) -> str | None:
        reason = self.reasons[index]
        return "tool_calls" if self.choices[index].calls else str(reason) if reason else None

    @abstractmethod
    def _delta(self, index: int, shown: Grown) -> Object: ...

    @abstractmethod
    def _closing(self, index: int) -> list[Object]: ...

    @abstractmethod
    def _whole(self, index: int) -> Object: ...

    def _name(self, token: int) -> str:
        return f"token_id:{token}" if self._asked.tokens_as_ids else self._tokenizer.token(token)


class ChatAnswer(Answer):
    """`chat.completion` and its chunks."""

    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def opening(self) -> list[Object]:
        delta = {"role": "assistant", "content": ""}
        return [self._piece(index, delta) for index in range(len(self.choices))]

    def _delta(self, index: int, shown: Grown) -> Object:
        return self._piece(index, {"content": shown.text}) | self._logprobs(shown.tokens)

    def _closing(self, index: int) -> list[Object]:
        calls = self._calls(self.choices[index].calls)
        numbered = [{"index": at} | call for at, call in enumerate(calls)]
        closing = [self._piece(index, {"tool_calls": numbered})] if calls else []
        return [*closing, self._piece(index, {}) | {"finish_reason": self._reason(index)}]

    def _whole(self, index: int) -> Object:
        choice = self.choices[index]
        message: Object = {"role": "assistant", "content": choice.text, "refusal": None}
        if choice.calls:
            message |= {"content": None, "tool_calls": self._calls(choice.calls)}
        whole = {"index": index, "message": message, "finish_reason": self._reason(index), "logprobs": None}
        return whole | self._logprobs(choice.tokens)

    def _piece(self, index: int, delta: Object) -> Object:
        return {"index": index, "delta": delta, "finish_reason": None, "logprobs": None}

    def _calls(self, calls: Sequence[ToolCall]) -> list[Object]:
        return [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]

    def _logprobs(self, tokens: Sequence[Drawn]) -> Object:
        if self._asked.request.sampling.logprobs is None:
            return {}
        rows = [
            self._entry(drawn.token, drawn.logprob) | {"top_logprobs": [self._entry(*one) for one in drawn.top]}
            for drawn in tokens
        ]
        return {"logprobs": {"content": rows, "refusal": None}}

    def _entry(self, token: int, logprob: float | None) -> Object:
        return {"token": self._name(token), "logprob": logprob, "bytes": list(self._tokenizer.data(token))}


class Offsets:
    """Where in one choice's text each of its tokens begins. A character of several tokens has one place.

    Text may be held back, and cut at a stop string: what counts are the tokens.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer, self._detokeniser = tokenizer, Detokeniser(tokenizer)
        self._end = 0
        self._is_within = False
        """Whether the text so far may end within a character."""
        self.all: list[int] = []

    def add(self, tokens: Sequence[Drawn]) -> list[int]:
        """Those of the next tokens."""
        for drawn in tokens:
            # Control tokens are named, but they are not in the text.
            own, shown = self._tokenizer.text([drawn.token]), self._detokeniser.push(drawn.token)
            # What follows half a character that never became whole begins behind it.
            behind = len(shown) - len(own) if self._is_within and REPLACEMENT not in own else 0
            self.all.append(self._end + max(behind, 0))
            self._end += len(shown)
            self._is_within = bool(own) and not shown
        return self.all[len(self.all) - len(tokens) :]


class TextAnswer(Answer):
    """`text_completion`, whole and in pieces."""

    kind, chunk_kind, prefix = "text_completion", "text_completion", "cmpl"

    def __init__(self, model: str, digest: str, asked: Asked, tokenizer: TextTokenizer) -> None:
        super().__init__(model, digest, asked, tokenizer)
        self._offsets = [Offsets(tokenizer) for _ in range(asked.choices)]

    def whole(self) -> Object:
        return super().whole() | {"weights": self._head["system_fingerprint"]}

    def _usage(self) -> Object:
        return self.usage.to_json() | {"computed_tokens": self.usage.computed}

    def _delta(self, index: int, shown: Grown) -> Object:
        if self._asked.request.sampling.logprobs is None:
            return self._piece(index, shown.text)
        return self._piece(index, shown.text) | self._logprobs(shown.tokens, self._offsets[index].add(shown.tokens))

    def _closing(self, index: int) -> list[Object]:
        return [self._piece(index, "") | {"finish_reason": self._reason(index)}]

    def _whole(self, index: int) -> Object:
        choice = self.choices[index]
        whole = self._piece(index, choice.text) | {"finish_reason": self._reason(index)}
        return whole | self._logprobs(choice.tokens, self._offsets[index].all)

    def _piece(self, index: int, text: str) -> Object:
        return {"index": index, "text": text, "finish_reason": None, "logprobs": None}

    def _logprobs(self, tokens: Sequence[Drawn], offsets: Sequence[int]) -> Object:
        if self._asked.request.sampling.logprobs is None:
            return {}
        return {
            "logprobs": {
                "tokens": [self._name(drawn.token) for drawn in tokens],
                "token_logprobs": [drawn.logprob for drawn in tokens],
                "top_logprobs": [self._alternatives(drawn) for drawn in tokens],
                "text_offset": list(offsets),
            }
        }

    def _alternatives(self, drawn: Drawn) -> Object | None:
        """The likeliest and the drawn one. None for a prompt's first token, which no model expects."""
        if drawn.logprob is None:
            return None
        told: Object = {}
        for token, value in (*drawn.top, (drawn.token, drawn.logprob)):
            told.setdefault(self._name(token), value)
        return told

    def _name(self, token: int) -> str:
        """Parts of characters by their bytes, as OpenAI does here: under one name they would be one alternative."""
        name = super()._name(token)
        if REPLACEMENT not in name:
            return name
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self._tokenizer.data(token))


def event(value: Object) -> bytes:
    """One server-sent event. JSON without line breaks, so one `data:` line is enough."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
