"""The model server's bytes to answer events, unary and streamed alike.

Only fields with a judge or a fixed shape become events: text channels, tool calls, finish reasons, integer token
counts. Everything else a server adds (ids, fingerprints, log-probabilities, annotations, vendor keys) is left here,
because nobody judged it. A shape that does not fit is UpstreamFailed: no guess, and no raw bytes passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.errors import BadRequest, UpstreamFailed
from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta, TokenLogprob, ToolDelta, Usage
from gateway.fields import IDENTIFIER
from gateway.jsonstrict import Json, loads

FINISH_REASONS: Final = frozenset(("stop", "length", "tool_calls", "content_filter"))
_OTHER_NAMES: Final = {"stop_sequence": "stop", "eos_token": "stop"}
"""As text-generation-inference calls an end at a stop string, or at the model's own."""
MAX_COUNT: Final = 10**12
"""Token counts beyond this are not counts; the audit log would refuse them, and with them the record."""
_CHANNELS: Final = (
    ("content", Channel.CONTENT),
    ("reasoning_content", Channel.REASONING),
    ("reasoning", Channel.REASONING),
    ("refusal", Channel.REFUSAL),
)
_WITH_LOGPROBS: Final = ("content", "refusal")
MAX_LOGPROB: Final = 1e6
"""In magnitude. Servers write -9999 for what cannot be; more digits would be a message, not a measure."""
_ROUNDING: Final = 1e-3
"""How far above 0 rounding may carry the logarithm of a probability."""
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS: Final = (("prompt_tokens_details", "cached_tokens"), ("completion_tokens_details", "reasoning_tokens"))


def read_unary(body: bytes, choices: int) -> Iterator[AnswerEvent]:
    """Events of a whole `chat.completion` with exactly `choices` choices."""
    top = _object(_json(body))
    rows = _list(top.get("choices"))
    if sorted(_index(row, choices) for row in rows) != list(range(choices)):
        raise _bad("has another number of choices than was asked for")
    for row in rows:
        choice = _object(row)
        yield from _message(choice.get("message"), _index(row, choices), choice.get("logprobs"), whole=True)
        yield Finish(_index(row, choices), _finish(choice.get("finish_reason")))
    yield from _usage(top.get("usage"))


def read_chunk(data: str, choices: int) -> Iterator[AnswerEvent]:
    """Events of one `chat.completion.chunk`. An `error` object in the stream is a failure of the server."""
    top = _object(_json(data.encode()))
    if "error" in top:
        raise UpstreamFailed("upstream_error", "the model server reported an error in the middle of its answer")
    for row in _list(top.get("choices") or []):
        index, choice = _index(row, choices), _object(row)
        yield from _message(choice.get("delta") or {}, index, choice.get("logprobs"), whole=False)
        if choice.get("finish_reason") not in (None, ""):
            yield Finish(index, _finish(choice["finish_reason"]))
    yield from _usage(top.get("usage"))


def _message(value: Json, choice: int, logprobs: Json, *, whole: bool) -> Iterator[AnswerEvent]:
    message = _object(value)
    if message.get("role", "assistant") not in ("assistant", None, ""):
        raise _bad("has a message that is not the assistant's")
    is_old = message.get("function_call") is not None and not message.get("tool_calls")  # else it is told twice
    if is_old or message.get("audio") is not None:
        raise _bad("holds a form of answer that cannot be judged")
    seen: set[Channel] = set()
    for key, channel in _CHANNELS:
        text = message.get(key)
        tokens = _tokens(logprobs.get(key)) if isinstance(logprobs, dict) and key in _WITH_LOGPROBS else ()
        if text is None and tokens:
            text = ""
        if text is None or (channel in seen and text == message.get("reasoning_content")):
            continue
        if not isinstance(text, str):
            raise _bad(f"has `{key}` that is not text")
        seen.add(channel)
        if text or tokens:
            yield TextDelta(choice, channel, text, tokens)
    for position, call in enumerate(_list(message.get("tool_calls") or [])):
        yield _tool(_object(call), choice, position if whole else None)


def _tool(call: dict[str, Json], choice: int, position: int | None) -> ToolDelta:
    index = call.get("index", 0) if position is None else position
    function = _object(call.get("function") or {})
    arguments = function.get("arguments") or ""
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 128 or not isinstance(arguments, str):
        raise _bad("has a tool call that cannot be read")
    if call.get("type", "function") not in ("function", None):
        raise _bad("has a tool call that is not a function call")
    return ToolDelta(choice, index, _identifier(call.get("id")), _identifier(function.get("name")), arguments)


def _identifier(value: Json) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise _bad("has a tool call whose id or name is not an identifier")
    return value


def _tokens(rows: Json) -> tuple[TokenLogprob, ...]:
    """The tokens that were drawn. Their alternatives are left here, and so is what is no token."""
    if not isinstance(rows, list):
        return ()
    return tuple(token for row in rows if isinstance(row, dict) and (token := _token(row)) is not None)


def _token(row: dict[str, Json]) -> TokenLogprob | None:
    text, data, logprob = row.get("token"), row.get("bytes"), row.get("logprob")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or not -MAX_LOGPROB <= logprob <= _ROUNDING:
        return None
    logprob = min(float(logprob), 0.0)
    if isinstance(data, list):
        if any(isinstance(byte, bool) or not isinstance(byte, int) or not 0 <= byte <= 255 for byte in data):
            return None
        return TokenLogprob(bytes(data), logprob)  # type: ignore[arg-type] # every item was checked above
    return TokenLogprob(text.encode(), logprob) if isinstance(text, str) else None


def _usage(value: Json) -> Iterator[Usage]:
    if not isinstance(value, dict):
        return
    counts: dict[str, Json] = {key: value[key] for key in _COUNTS if _is_count(value.get(key))}
    for group, key in _DETAILS:
        details = value.get(group)
        if isinstance(details, dict) and _is_count(details.get(key)):
            counts[group] = {key: details[key]}
    if counts:
        yield Usage(counts)


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _finish(value: Json) -> str:
    if isinstance(value, str) and (known := _OTHER_NAMES.get(value, value)) in FINISH_REASONS:
        return known
    raise _bad("ends for a reason that is not known here")


def _index(row: Json, choices: int) -> int:
    index = _object(row).get("index", 0)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < choices:
        raise _bad("has a choice that was not asked for")
    return index


def _json(body: bytes) -> Json:
    try:
        return loads(body, max_depth=64)
    except BadRequest as exc:
        raise _bad(f"is not JSON that can be judged ({exc.code})") from None


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _bad("has another shape than a chat completion")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise _bad("has another shape than a chat completion")
    return value


def _bad(problem: str) -> UpstreamFailed:
    return UpstreamFailed("upstream_bad_answer", f"the model server's answer {problem}")
