"""Outcomes to response bytes, in the shapes that OpenAI clients already read.

An input block is HTTP 400 with `code: content_filter`, as Azure OpenAI answers it; an output block is an ordinary
answer that ends in `finish_reason: content_filter`. What only Gatehouse knows (policy code, rules, request id, record
number) sits under the key `gatehouse`. No user text is ever part of an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from gateway import sse
from gateway.entries import Exchange
from gateway.errors import GatewayError
from gateway.exchange import (
    Channel,
    ChatRequest,
    Ended,
    Released,
    ReleasedCalls,
    ReleasedText,
    TokenLogprob,
    Usage,
)
from gateway.jsonstrict import Json, dumps
from gateway.pipeline import Blocked
from policies.model import GUARD_UNAVAILABLE, Decision

_WITH_LOGPROBS: Final = (Channel.CONTENT, Channel.REFUSAL)
_NONE: Final[Mapping[str, Json]] = {}
_NOTHING_USED: Final = Usage({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
"""Of a model that was not asked. Clients count tokens of every answer."""
_POLICY_VIOLATION: Final[Json] = {
    "code": "ResponsibleAIPolicyViolation",
    "innererror": {"code": "content_policy_violation"},
}
"""Azure OpenAI's code, and within it OpenAI's own, by which LiteLLM knows such an error."""


def error_body(exc: GatewayError, exchange_id: str) -> bytes:
    """The OpenAI error envelope."""
    return dumps(
        {
            "error": {
                "message": exc.message,
                "type": exc.type,
                "param": exc.param,
                "code": exc.code,
                "gatehouse": {"request_id": exchange_id},
            }
        }
    )


def blocked_request(exchange: Exchange, step: Blocked) -> tuple[int, bytes]:
    """Status and body of a block that is told as an error: 400, or 503 when a guard gave no verdict."""
    decision = step.decision
    detail = _detail(exchange, step)
    if decision.code == GUARD_UNAVAILABLE:
        error: dict[str, Json] = {
            "message": "a guard gave no verdict, so the request was not passed on; try again later",
            "type": "service_unavailable",
            "param": None,
            "code": GUARD_UNAVAILABLE,
        }
    else:
        what = "answer was withheld" if step.on_answer else "request was blocked"
        error = {
            "message": decision.message or f"the {what} by policy",
            "type": "invalid_request_error",
            "param": None if step.on_answer else "messages",
            "code": "content_filter",
            "status": decision.status,
            "innererror": _POLICY_VIOLATION,
        }
    return decision.status, dumps({"error": error | {"gatehouse": detail}})


def _detail(exchange: Exchange, step: Blocked) -> dict[str, Json]:
    policy: Json = {"name": exchange.policy.name, "version": exchange.policy.version, "digest": exchange.policy.digest}
    return {
        "code": step.decision.code,
        "rules": list(step.decision.rules),
        "request_id": exchange.id,
        "record": step.record,
        "policy": policy,
    }


def withheld(decision: Decision) -> str:
    """The sentence that stands where a blocked answer would have stood."""
    return decision.message or "the answer was withheld by policy"


class UnaryAnswer:
    """Collects releases into one `chat.completion`."""

    def __init__(self, exchange: Exchange, request: ChatRequest) -> None:
        self._exchange, self._request = exchange, request
        self._messages: dict[int, dict[str, Json]] = {}
        self._ends: dict[int, str] = {}
        self._logprobs: dict[int, dict[str, Json]] = {}
        self._blocks: dict[int, Blocked] = {}
        self._block: Blocked | None = None
        self._usage: dict[str, Json] | None = None

    def add(self, released: Released) -> None:
        """Take in one release."""
        if isinstance(released, Usage):
            self._usage = released.counts
        elif isinstance(released, Ended):
            self._ends[released.choice] = released.reason
        else:
            message = self._messages.setdefault(released.choice, {})
            if isinstance(released, ReleasedText):
                message[str(released.channel)] = str(message.get(str(released.channel), "")) + released.text
                if rows := _logprob_rows(released):
                    self._logprobs.setdefault(released.choice, {"content": None, "refusal": None}).update(rows)
            else:
                message["tool_calls"] = list[Json](_calls(self._exchange, released))

    def block(self, step: Blocked) -> None:
        """Take in the end of a choice, or of all that have not ended."""
        if not step.on_answer:
            self.add(_NOTHING_USED)
        if step.choice is None:
            self._block = step
        else:
            self._blocks[step.choice] = step

    def body(self) -> bytes:
        """The finished answer. Of a choice that was blocked no text of the model is in it."""
        several = self._request.n > 1
        rows = [self._blocked(choice, several=several) or self._whole(choice) for choice in range(self._request.n)]
        detail: dict[str, Json] = {"gatehouse": _detail(self._exchange, self._block)} if self._block else {}
        head = _head(self._exchange, self._request, "chat.completion")
        return dumps(head | {"choices": list[Json](rows)} | self._usage_field() | detail)

    def _whole(self, choice: int) -> dict[str, Json]:
        found = self._messages.get(choice, {})
        # Nothing at all is an empty text: null stands where a call or a refusal came in its place.
        message: dict[str, Json] = {"role": "assistant", "content": None if found else "", "refusal": None}
        return {
            "index": choice,
            "message": message | found,
            "logprobs": self._logprobs.get(choice),
            "finish_reason": self._ends[choice],
        }

    def _blocked(self, choice: int, *, several: bool) -> dict[str, Json] | None:
        """The choice that says it was withheld, and, among several, why."""
        step = self._blocks.get(choice, self._block)
        if step is None:
            return None
        row: dict[str, Json] = {
            "index": choice,
            "message": {"role": "assistant", "content": None, "refusal": withheld(step.decision)},
            "logprobs": None,
            "finish_reason": "content_filter",
        }
        return row | {"gatehouse": _detail(self._exchange, step)} if several else row

    def _usage_field(self) -> dict[str, Json]:
        return {"usage": self._usage} if self._usage is not None else {}


class StreamedAnswer:
    """Turns releases into `chat.completion.chunk` events."""

    def __init__(self, exchange: Exchange, request: ChatRequest) -> None:
        self._exchange, self._request = exchange, request
        self._head = _head(exchange, request, "chat.completion.chunk")
        self._open: set[int] = set()
        self._ended: set[int] = set()

    def events(self, released: Released) -> Iterable[bytes]:
        """The events of one release."""
        if isinstance(released, Usage):
            if self._request.include_usage:
                yield self._event([], {"usage": released.counts})
        elif isinstance(released, Ended):
            self._ended.add(released.choice)
            yield from self._opening(released.choice)
            yield self._choice(released.choice, {}, released.reason)
        else:
            yield from self._opening(released.choice)
            logprobs = _logprob_rows(released) if isinstance(released, ReleasedText) else {}
            yield self._choice(released.choice, self._delta(released), None, logprobs)

    def blocked(self, step: Blocked) -> Iterable[bytes]:
        """End a choice with `content_filter`, or all that are open; what was already sent cannot be recalled."""
        for choice in range(self._request.n) if step.choice is None else (step.choice,):
            if choice not in self._ended:
                self._ended.add(choice)
                yield from self._opening(choice)
                last: Json = {"index": choice, "delta": {}, "logprobs": None, "finish_reason": "content_filter"}
                yield self._event([last], {"gatehouse": _detail(self._exchange, step)})
        if not step.on_answer:
            yield from self.events(_NOTHING_USED)

    def _delta(self, released: ReleasedText | ReleasedCalls) -> dict[str, Json]:
        if isinstance(released, ReleasedText):
            return {str(released.channel): released.text}
        calls = [{**call, "index": index} for index, call in enumerate(_calls(self._exchange, released))]
        return {"tool_calls": list[Json](calls)}

    def _opening(self, choice: int) -> Iterable[bytes]:
        if choice not in self._open:
            self._open.add(choice)
            yield self._choice(choice, {"role": "assistant", "content": ""}, None)

    def _choice(
        self, choice: int, delta: dict[str, Json], reason: str | None, logprobs: Mapping[str, Json] = _NONE
    ) -> bytes:
        beside: Json = {"content": None, "refusal": None, **logprobs} if logprobs else None
        return self._event([{"index": choice, "delta": delta, "logprobs": beside, "finish_reason": reason}], {})

    def _event(self, choices: list[Json], more: Mapping[str, Json]) -> bytes:
        usage: dict[str, Json] = {"usage": None} if self._request.include_usage else {}
        return sse.event(dumps({**self._head, "choices": choices, **usage, **more}))


def _logprob_rows(released: ReleasedText) -> dict[str, Json]:
    """The tokens of a released text under its channel, in OpenAI's form. Alternatives are never in it."""
    if not released.tokens or released.channel not in _WITH_LOGPROBS:
        return {}
    return {str(released.channel): [_logprob_row(token) for token in released.tokens]}


def _logprob_row(token: TokenLogprob) -> Json:
    try:
        text = token.data.decode()
    except UnicodeDecodeError:  # a part of a character, which has no text of its own
        text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)
    return {"token": text, "logprob": token.logprob, "bytes": list[Json](token.data), "top_logprobs": []}


def _calls(exchange: Exchange, released: ReleasedCalls) -> list[dict[str, Json]]:
    """The calls under ids of ours: the server's own are text that nobody judged."""
    stem = f"call_{exchange.id.replace('-', '')[-20:]}_{released.choice}"
    return [
        {
            "id": f"{stem}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(released.calls)
    ]


def _head(exchange: Exchange, request: ChatRequest, kind: str) -> dict[str, Json]:
    return {
        "id": f"chatcmpl-{exchange.id}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
    }
