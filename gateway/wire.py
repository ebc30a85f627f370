"""Bytes to ChatRequest: the one walk that both collects what guards judge and builds what goes upstream.

Every field of the OpenAI chat completion request is in exactly one table: forwarded after a check, judged as a part,
accepted and not forwarded, or refused by name (gateway/wire_top.py). A field in no table is refused as unknown. So a
text that guards did not see cannot reach the model, whatever an SDK starts to send. Source of the field list: the
OpenAI API reference for chat completions, and vLLM's extra sampling parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from gateway import fields
from gateway.errors import BadRequest
from gateway.exchange import ChatRequest
from gateway.jsonstrict import Json, loads, without_escapes
from gateway.person import named_person
from gateway.wire_picture import PICTURES, picture
from gateway.wire_text import joined, schema_text
from gateway.wire_tools import read_tool_choice
from gateway.wire_top import FORWARDED, HINTS, REPEATED, TOP_LEVEL, refuse_unavailable, stream_options
from guards.verdict import Part, Scope
from policies.settings import CHARS_PER_TOKEN, Limits

_MOST_CHOICES: Final = 128
_LONGEST_CALL_ID: Final = 4096


def parse_chat(body: bytes, limits: Limits) -> ChatRequest:
    """Read a request body, or raise BadRequest with a code and the field's name."""
    top = fields.known_keys(loads(body, max_depth=limits.depth), "", TOP_LEVEL)
    refuse_unavailable(top)
    reader = _ChatReader(limits)
    out: dict[str, Json] = {"model": "", "messages": reader.messages(top.get("messages"))}
    for key, read in FORWARDED.items():
        if key in top:
            out[key] = read(top[key], key)
    _check_length(out, limits)
    tools = reader.tools(top["tools"]) if "tools" in top else None
    if tools is not None:
        out["tools"] = list[Json](tools)
    if "tool_choice" in top:
        choice = read_tool_choice(top["tool_choice"], reader.tool_names)
        out |= {"tool_choice": choice.forwarded} | ({"tools": choice.of(tools)} if tools else {})
    judged: Mapping[str, Callable[[Json], Json]] = {
        "response_format": reader.response_format,
        "stop": reader.stop,
    }
    for name, read_judged in judged.items():
        if name in top:
            out[name] = read_judged(top[name])
    n = fields.integer(1, _MOST_CHOICES)(top.get("n", 1), "n")
    if isinstance(n, int) and n > limits.n:
        raise BadRequest("limit_n", f"the policy admits an `n` of at most {limits.n}", "n")
    if n != 1:
        out["n"] = n
    stream = fields.boolean(top.get("stream", False), "stream")
    include_usage = stream_options(top.get("stream_options"), stream)
    if stream:
        out |= {"stream": True, "stream_options": {"include_usage": True}}
    if logprobs := fields.boolean(top.get("logprobs", False), "logprobs"):
        if not limits.logprobs:
            raise BadRequest("limit_logprobs", "the policy admits no `logprobs`", "logprobs")
        out["logprobs"] = True
    model, choices = fields.text(top.get("model"), "model"), n if isinstance(n, int) else 1
    parts, person = tuple(reader.parts), named_person(top)
    return ChatRequest(model, out, parts, stream, include_usage, choices, len(body), logprobs, person)


def _check_length(out: Mapping[str, Json], limits: Limits) -> None:
    """More is refused and not trimmed: a client would take the shorter answer for a whole one."""
    for key in ("max_tokens", "max_completion_tokens"):
        asked = out.get(key)
        if isinstance(asked, int) and asked > limits.output_tokens:
            raise BadRequest(
                "limit_output_tokens", f"the policy admits a `{key}` of at most {limits.output_tokens}", key
            )


class _ChatReader:
    """Walks messages, tools and the rest; `parts` grows in document order."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts: list[Part] = []
        self._chars = 0
        self._images = 0
        self.tool_names: set[str] = set()
        self._call_ids: dict[str, str] = {}
        self._called: dict[str, str] = {}
        """Our id of a call, with the tool that it calls."""

    def _part(self, scope: Scope, path: str, role: str, text: str, tool: str = "") -> None:
        self._chars += len(text)
        if self._chars > self.limits.input_chars:
            raise BadRequest(
                "input_too_long", f"the request holds more than {self.limits.input_chars} characters of text"
            )
        if self._chars > self.limits.input_tokens * CHARS_PER_TOKEN:
            told = f"the request holds more than {self.limits.input_tokens} tokens of {CHARS_PER_TOKEN} characters"
            raise BadRequest("limit_input_tokens", told)
        if text:
            self.parts.append(Part(scope, path, role, text, tool=tool))

    # --- messages ---

    def messages(self, value: Json) -> list[Json]:
        if not isinstance(value, list) or not value:
            fields.wrong("messages", "a list with at least one message")
        if len(value) > self.limits.messages:
            raise BadRequest("limit_messages", f"`messages` has more than {self.limits.messages} entries", "messages")
        last_answer = max(
            (i for i, m in enumerate(value) if isinstance(m, dict) and m.get("role") == "assistant"), default=-1
        )
        return [self._message(item, index, index < last_answer) for index, item in enumerate(value)]

    def _message(self, value: Json, index: int, past: bool) -> dict[str, Json]:
        where = f"messages[{index}]"
        role = value.get("role") if isinstance(value, dict) else None
        read = _ROLES.get(role) if isinstance(role, str) else None
        if read is None:
            fields.wrong(f"{where}.role", "one of `system`, `developer`, `user`, `assistant`, `tool`")
        return read(self, value, index, past)

    def _plain(self, value: Json, index: int, scope: Scope, keys: Mapping[str, None]) -> dict[str, Json]:
        where = f"messages[{index}]"
        message = fields.known_keys(value, where, keys)
        role = fields.text(message["role"], where)
        out: dict[str, Json] = {"role": role}
        if "content" not in message:
            fields.wrong(f"{where}.content", "a string or a list of content parts")
        out["content"] = self._content(message["content"], index, role, scope)
        if "name" in message:
            out["name"] = self._named(message["name"], f"{where}.name", f"/messages/{index}/name", role, scope)
        return out

    def _system(self, value: Json, index: int, past: bool) -> dict[str, Json]:
        return self._plain(value, index, Scope.SYSTEM, _PLAIN_KEYS)

    def _user(self, value: Json, index: int, past: bool) -> dict[str, Json]:
        return self._plain(value, index, Scope.HISTORY if past else Scope.USER, _PLAIN_KEYS)

    def _tool(self, value: Json, index: int, past: bool) -> dict[str, Json]:
        first = len(self.parts)
        out = self._plain(value, index, Scope.TOOL_RESULT, _TOOL_KEYS)
        call = value.get("tool_call_id") if isinstance(value, dict) else None
        out["tool_call_id"] = answered = self._call_id(call, f"messages[{index}].tool_call_id")
        tool = self._called.get(answered, "")
        self.parts[first:] = [replace(part, tool=tool) for part in self.parts[first:]]
        return out

    def _assistant(self, value: Json, index: int, past: bool) -> dict[str, Json]:
        where, base = f"messages[{index}]", f"/messages/{index}"
        message = fields.known_keys(value, where, _ASSISTANT_KEYS)
        out: dict[str, Json] = {"role": "assistant"}
        _refuse_forms(message, where)
        if "content" not in message and not message.get("tool_calls"):
            _fill(message, value, where)
        if "content" in message:
            out["content"] = self._content(message["content"], index, "assistant", Scope.HISTORY)
        for key in ("refusal", "reasoning_content", "reasoning"):
            if key in message:
                out[key] = text = fields.text(message[key], f"{where}.{key}")
                self._part(Scope.HISTORY, f"{base}/{key}", "assistant", text)
        if "name" in message:
            out["name"] = self._named(message["name"], f"{where}.name", f"{base}/name", "assistant", Scope.HISTORY)
        if message.get("tool_calls"):
            out["tool_calls"] = self._tool_calls(message["tool_calls"], where, base)
        out.setdefault("content", None)
        return out

    def _tool_calls(self, value: Json, where: str, base: str) -> list[Json]:
        if not isinstance(value, list) or len(value) > 128:
            fields.wrong(f"{where}.tool_calls", "a list of at most 128 calls")
        return [
            self._tool_call(item, f"{where}.tool_calls[{i}]", f"{base}/tool_calls/{i}") for i, item in enumerate(value)
        ]

    def _tool_call(self, value: Json, where: str, base: str) -> dict[str, Json]:
        call = fields.known_keys(value, where, _CALL_KEYS)
        fields.one_of("function")(call.get("type", "function"), f"{where}.type")
        function = fields.known_keys(call.get("function"), f"{where}.function", _FUNCTION_CALL_KEYS)
        name = self._named(
            function.get("name"), f"{where}.function.name", f"{base}/function/name", "tool", Scope.TOOL_CALL
        )
        arguments = without_escapes(fields.text(function.get("arguments", ""), f"{where}.function.arguments"))
        self._part(Scope.TOOL_CALL, f"{base}/function/arguments", "tool", arguments, name)
        id_ = self._call_id(call.get("id"), f"{where}.id")
        self._called[id_] = name
        return {
            "id": id_,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }

    def _call_id(self, value: Json, where: str) -> str:
        """An id of ours for the caller's: equal ones stay equal, and what a caller wrote into one goes nowhere.

        So it may be any text, as those are that other servers gave out, with signatures or two ids in one.
        """
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_CALL_ID:
            fields.wrong(where, f"1 to {_LONGEST_CALL_ID} characters")
        return self._call_ids.setdefault(value, f"call{len(self._call_ids):05}")

    def _named(self, value: Json, where: str, path: str, role: str, scope: Scope) -> str:
        name = fields.identifier(value, where)
        assert isinstance(name, str)
        self._part(scope, path, role, name, name if scope is Scope.TOOL_CALL else "")
        return name

    # --- content ---

    def _content(self, value: Json, index: int, role: str, scope: Scope) -> Json:
        where, path = f"messages[{index}].content", f"/messages/{index}/content"
        if isinstance(value, str):
            self._part(scope, path, role, value)
            return value
        if not isinstance(value, list):
            fields.wrong(where, "a string or a list of content parts")
        if len(value) > self.limits.messages:
            fields.wrong(where, f"a list of at most {self.limits.messages} content parts")
        pieces = joined([self._piece(item, f"{where}[{i}]", role) for i, item in enumerate(value)])
        for i, piece in enumerate(pieces):
            if piece["type"] in PICTURES:
                kind = str(piece["type"])
                shown = piece[kind]
                assert isinstance(shown, dict)
                self.parts.append(Part(Scope.IMAGE, f"{path}/{i}/{kind}/url", role, "", picture=str(shown["url"])))
            else:
                self._part(scope, f"{path}/{i}/{piece['type']}", role, str(piece[str(piece["type"])]))
        return list(pieces)

    def _piece(self, value: Json, where: str, role: str) -> dict[str, Json]:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind in ("text", "refusal") and (kind == "text" or role == "assistant"):
            piece = fields.known_keys(value, where, {"type": None, kind: None, **HINTS})
            text = fields.text(piece.get(kind), f"{where}.{kind}")
            return {"type": kind, kind: text}
        if kind in PICTURES and role == "user":
            return self._picture(value, str(kind), where)
        raise BadRequest("unsupported_content", f"`{where}.type` is not a content type that can be judged here", where)

    def _picture(self, value: Json, kind: str, where: str) -> dict[str, Json]:
        self._images += 1
        if self._images > self.limits.images:
            raise BadRequest("limit_images", f"the policy admits {self.limits.images} images in a request", where)
        return picture(value, kind, where)

    # --- tools and formats ---

    def tools(self, value: Json) -> list[Json]:
        if not isinstance(value, list):
            fields.wrong("tools", "a list of tools")
        if len(value) > self.limits.tools:
            raise BadRequest("limit_tools", f"the policy admits {self.limits.tools} tools in a request", "tools")
        return [self._declared(item, i) for i, item in enumerate(value)]

    def _declared(self, value: Json, index: int) -> dict[str, Json]:
        where = f"tools[{index}]"
        if isinstance(value, dict):
            fields.one_of("function")(value.get("type"), f"{where}.type")
        tool = fields.known_keys(value, where, {"type": None, "function": None, **HINTS})
        function = fields.known_keys(tool.get("function"), f"{where}.function", _FUNCTION_KEYS)
        name = fields.identifier(function.get("name"), f"{where}.function.name")
        if "description" in function:
            fields.text(function["description"], f"{where}.function.description")
        if not isinstance(function.get("parameters", {}), dict):
            fields.wrong(f"{where}.function.parameters", "a JSON Schema object")
        fields.boolean(function.get("strict", False), f"{where}.function.strict")
        self.tool_names.add(str(name))
        self._part(Scope.TOOL_SCHEMA, f"/tools/{index}/function", "tool", schema_text(function))
        return {"type": "function", "function": function}

    def response_format(self, value: Json) -> Json:
        form = fields.known_keys(value, "response_format", {"type": None, "json_schema": None})
        kind = fields.one_of("text", "json_object", "json_schema")(form.get("type"), "response_format.type")
        if kind != "json_schema":
            return {"type": kind}
        schema = fields.known_keys(form.get("json_schema"), "response_format.json_schema", _SCHEMA_KEYS)
        fields.identifier(schema.get("name"), "response_format.json_schema.name")
        if "description" in schema:
            fields.text(schema["description"], "response_format.json_schema.description")
        if not isinstance(schema.get("schema", {}), dict):
            fields.wrong("response_format.json_schema.schema", "a JSON Schema object")
        fields.boolean(schema.get("strict", False), "response_format.json_schema.strict")
        self._part(Scope.TOOL_SCHEMA, "/response_format/json_schema", "tool", schema_text(schema))
        return {"type": kind, "json_schema": schema}

    def stop(self, value: Json) -> Json:
        stops = [value] if isinstance(value, str) else value
        if not isinstance(stops, list) or len(stops) > 16 or not all(isinstance(s, str) for s in stops):
            fields.wrong("stop", "a string or a list of at most 16 strings")
        for index, item in enumerate(stops):
            assert isinstance(item, str)
            path = "/stop" if isinstance(value, str) else f"/stop/{index}"
            self._part(Scope.USER, path, "user", item)
        return value


def _refuse_forms(message: Mapping[str, Json], where: str) -> None:
    """What an assistant's message may hold elsewhere and cannot be judged here."""
    for key in ("function_call", "audio"):
        if key in message:
            raise BadRequest("unsupported_field", f"`{where}.{key}` is not available here", f"{where}.{key}")
    if message.get("annotations"):
        fields.wrong(f"{where}.annotations", "empty: annotations cannot be judged yet")


def _fill(message: dict[str, Json], value: Json, where: str) -> None:
    """The content of an answer that had none, as clients send it back.

    Few servers read `refusal`, and some refuse a message without content. So what was refused with is the content.
    """
    if isinstance(value, dict) and value.keys() <= {"role", "name"}:
        fields.wrong(f"{where}.content", "given unless there are `tool_calls`")
    message["content"] = fields.text(message.pop("refusal", ""), f"{where}.refusal")


_PLAIN_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("role", "content", "name", *HINTS))
_TOOL_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("role", "content", "name", "tool_call_id", *HINTS))
_ASSISTANT_KEYS: Final[Mapping[str, None]] = dict.fromkeys(
    (
        "role",
        "content",
        "name",
        "refusal",
        "reasoning_content",
        "reasoning",
        "tool_calls",
        "function_call",
        "audio",
        "annotations",
        *HINTS,
        *REPEATED,
    )
)
_CALL_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("id", "type", "function", "index", *REPEATED))
_FUNCTION_CALL_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("name", "arguments", *REPEATED))
_FUNCTION_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("name", "description", "parameters", "strict"))
_SCHEMA_KEYS: Final[Mapping[str, None]] = dict.fromkeys(("name", "description", "schema", "strict"))
_ROLES: Final[Mapping[str, Callable[[_ChatReader, Json, int, bool], dict[str, Json]]]] = {
    "system": _ChatReader._system,
    "developer": _ChatReader._system,
    "user": _ChatReader._user,
    "assistant": _ChatReader._assistant,
    "tool": _ChatReader._tool,
}
