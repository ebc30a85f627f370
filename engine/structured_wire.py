"""Request fields that say what an answer has to look like: OpenAI's `response_format` and `tool_choice`, and vLLM's.

At most one of them describes the text. A demanded tool call is an answer of its own kind: a format beside it has
nothing left to describe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import BadRequest
from engine.grammar import MAX_CHOICES, Grammar, of_calls, of_choices, of_lark, of_regex, of_schema
from engine.json_schema import Schema
from engine.wire import Fields, Json

GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar")
STRUCTURED = ("json", "regex", "choice", "grammar", "json_object")


@dataclass(frozen=True, slots=True)
class Described:
    """What a field says of the answer's text: a schema, or a grammar that is none."""

    param: str
    schema: Schema | None = None
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which of the offered tools must be called: none of them has to, any, or those of one name."""

    offered: tuple[Mapping[str, Json], ...] = ()
    demanded: tuple[Mapping[str, Json], ...] = ()


def grammar_of(fields: Fields, choice: ToolChoice, is_single: bool = False) -> Grammar | None:
    """What constrains the answer, or None. With `is_single`, one call at most."""
    described = _described(fields)
    if choice.demanded:
        return of_calls(choice.demanded, "tool_choice", is_single)
    if described is None or described.grammar is not None:
        return described.grammar if described else None
    if choice.offered:
        return of_calls(choice.offered, described.param, is_single, described.schema)
    return of_schema(described.schema, described.param)


def tool_choice(fields: Fields, tools: Sequence[Mapping[str, Json]]) -> ToolChoice:
    """BadRequest for a demand that no tool can meet."""
    raw, offered = fields.take("tool_choice"), tuple(tools)
    if raw in (None, "auto"):
        return ToolChoice(offered)
    if raw == "none":
        return ToolChoice()
    if raw == "required":
        return ToolChoice(offered, _demanded(fields, offered))
    function = raw.get("function") if isinstance(raw, dict) and raw.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        fields.refuse("tool_choice", "expected `auto`, `none`, `required` or a function by its name")
    return ToolChoice(offered, _demanded(fields, [tool for tool in offered if tool["name"] == function["name"]]))


def _demanded(fields: Fields, tools: Sequence[Mapping[str, Json]]) -> tuple[Mapping[str, Json], ...]:
    if not tools:
        fields.refuse("tool_choice", "demands a call, and no such tool is among `tools`")
    return tuple(tools)


def _described(fields: Fields) -> Described | None:
    stated = [one for one in (_response_format(fields), _structured(fields), *map(_of(fields), GUIDED)) if one]
    if len(stated) > 1:
        fields.refuse(stated[1].param, f"the answer is described by `{stated[0].param}` already")
    return stated[0] if stated else None


def _response_format(fields: Fields) -> Described | None:
    raw = fields.take("response_format")
    if raw is None:
        return None
    told = Fields(raw if isinstance(raw, dict) else {}, "response_format.")
    kind, stated = told.take("type"), told.take("json_schema")
    told.done()
    if kind == "text":
        return None
    if kind == "json_object":
        return Described("response_format", {"type": "object"})
    if kind != "json_schema" or not isinstance(stated, dict):
        fields.refuse("response_format", "expected the type `text`, `json_object` or `json_schema` with its schema")
    named = Fields(stated, "response_format.json_schema.")
    named.text("name")
    named.flag("strict")
    named.ignored("description")
    schema = named.take("schema")
    named.done()
    return Described("response_format.json_schema.schema", {} if schema is None else schema)


def _structured(fields: Fields) -> Described | None:
    raw = fields.take("structured_outputs")
    if raw is None:
        return None
    if not isinstance(raw, dict) or len(raw) != 1 or next(iter(raw)) not in STRUCTURED:
        fields.refuse("structured_outputs", f"expected an object with one of {', '.join(STRUCTURED)}")
    ((kind, value),) = raw.items()
    param = f"structured_outputs.{kind}"
    if kind != "json_object":
        return _READERS[kind](param, value)
    if value is not True:
        raise BadRequest("invalid_parameter", f"`{param}`: expected true", param)
    return Described(param, {"type": "object"})


def _of(fields: Fields) -> Callable[[str], Described | None]:
    def read(name: str) -> Described | None:
        value = fields.take(name)
        return None if value is None else _READERS[name.removeprefix("guided_")](name, value)

    return read


def _json(param: str, value: Json) -> Described:
    """The schema itself, or as a text."""
    if not isinstance(value, str):
        return Described(param, value)
    try:
        return Described(param, json.loads(value))
    except (ValueError, RecursionError) as exc:
        raise BadRequest("invalid_schema", f"`{param}` is no JSON", param) from exc


def _regex(param: str, value: Json) -> Described:
    return Described(param, grammar=of_regex(_text(param, value), param))


def _choice(param: str, value: Json) -> Described:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CHOICES or not all(map(_is_text, value)):
        raise BadRequest("invalid_parameter", f"`{param}`: expected 1 to {MAX_CHOICES} strings, none empty", param)
    return Described(param, grammar=of_choices(value, param))


def _grammar(param: str, value: Json) -> Described:
    return Described(param, grammar=of_lark(_text(param, value), param))


def _text(param: str, value: Json) -> str:
    if not _is_text(value):
        raise BadRequest("invalid_parameter", f"`{param}`: expected a string that is not empty", param)
    return str(value)


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and bool(value)


_READERS: Mapping[str, Callable[[str, Json], Described]] = {
    "json": _json,
    "regex": _regex,
    "choice": _choice,
    "grammar": _grammar,
}
