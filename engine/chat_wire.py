"""Messages and tools of a chat as OpenAI's clients send them, to turns that a model's format renders.

Clients put an assistant's earlier answers back as they got them, with refusals and calls; those are read, not judged.
What a turn cannot hold is refused by the place where it stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.chat_format import ROLES, ChatMessage, ToolCall
from engine.errors import BadRequest
from engine.vision.sent import Piece, is_picture, sent
from engine.wire import Fields, Json

MAX_MESSAGES, MAX_TOOLS = 2048, 128
NO_ARGUMENTS = "{}"
"""Models of others write nothing at all into a call of a tool that takes no arguments."""


def read_messages(fields: Fields) -> tuple[ChatMessage, ...]:
    """BadRequest names the message and its field."""
    return tuple(_message(raw, index) for index, raw in enumerate(_list(fields, "messages", 1, MAX_MESSAGES)))


def read_tools(fields: Fields) -> tuple[Mapping[str, Json], ...]:
    """The functions that are offered."""
    listed = _list(fields, "tools", 0, MAX_TOOLS) if fields.take("tools") is not None else ()
    return tuple(_function(fields, tool) for tool in listed)


def _list(fields: Fields, name: str, low: int, high: int) -> list[Json]:
    raw = fields.take(name)
    if not isinstance(raw, list) or not low <= len(raw) <= high:
        fields.refuse(name, f"expected a list of {low} to {high} entries")
    return raw


def _message(raw: Json, index: int) -> ChatMessage:
    prefix = f"messages[{index}]."
    if not isinstance(raw, dict):
        raise BadRequest("invalid_parameter", f"`{prefix[:-1]}`: expected an object", "messages")
    fields = Fields(raw, prefix)
    role = fields.text("role")
    if role not in ROLES:
        fields.refuse("role", f"expected one of {', '.join(sorted(ROLES))}")
    calls = tuple(_tool_call(call, prefix) for call in _calls(fields)) if role == "assistant" else ()
    refusal = fields.take("refusal") if role == "assistant" else None
    content = _content(fields, role, refusal if isinstance(refusal, str) else "" if calls else None)
    fields.ignored("name", "tool_call_id", "refusal", "reasoning", "reasoning_content")
    fields.done()
    if isinstance(content, str):
        return ChatMessage(role, content, calls)
    return ChatMessage(role, "", calls, content)


def _calls(fields: Fields) -> list[Json]:
    raw = fields.take("tool_calls")
    if raw is not None and not isinstance(raw, list):
        fields.refuse("tool_calls", "expected a list of calls")
    return raw or []


def _content(fields: Fields, role: str, instead: str | None) -> str | tuple[Piece, ...]:
    """A string, or text parts put together; with pictures between them if a user shows some. Sound is refused.

    `instead`: what was said where there is no content.
    """
    raw = fields.take("content")
    if raw is None and instead is not None:
        return instead
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, list):
        fields.refuse("content", "expected a string or a list of text parts")
    pieces: list[Piece] = []
    for index, part in enumerate(raw):
        if role == "user" and is_picture(part):
            pieces.append(sent(part, fields.name(f"content[{index}]")))
            continue
        text = _text_of(part, role)
        if text is None:
            kinds = "`text`, `image_url` or `video_url`" if role == "user" else "`text`"
            fields.refuse("content", f"expected parts of type {kinds}")
        if pieces and isinstance(last := pieces[-1], str):
            pieces[-1] = last + text
        else:
            pieces.append(text)
    texts = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(texts) if len(texts) == len(pieces) else tuple(pieces)


def _text_of(part: Json, role: str) -> str | None:
    """Of a part that holds some: what an assistant refused with is as much a text as what it said."""
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get(kind) if kind == "text" or (kind == "refusal" and role == "assistant") else None
    return text if isinstance(text, str) else None


def _tool_call(raw: Json, prefix: str) -> ToolCall:
    function = raw.get("function") if isinstance(raw, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        arguments = function.get("arguments")
        if isinstance(arguments, str) and _is_object(arguments or NO_ARGUMENTS):
            return ToolCall(function["name"], arguments or NO_ARGUMENTS)
    told = f"`{prefix}tool_calls`: expected functions with a name and a JSON object as `arguments`"
    raise BadRequest("invalid_parameter", told, "messages")


def _function(fields: Fields, raw: Json) -> Mapping[str, Json]:
    function = raw.get("function") if isinstance(raw, dict) and raw.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        fields.refuse("tools", "expected entries of type `function` with a name")
    if not _is_text(function):
        fields.refuse("tools", "holds half of a surrogate pair, which is not a character")
    return function


def _is_text(value: Json) -> bool:
    """Whether everything in it can be written."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_object(raw: str) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False
