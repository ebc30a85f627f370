"""What an answer's text has to look like, as a grammar for llguidance.

Four ways to say it: a JSON Schema, a regular expression, a list of texts, a grammar in Lark's notation; and one that a
request makes by demanding tool calls. Each becomes one text, so equal demands are equal texts and are compiled once.
Between the parts of a JSON value there is at most one space, or one line break with its indentation: a model that
has nothing to say cannot fill its answer with blanks.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llguidance import LLMatcher

from engine.chat_format import MAX_CALLS
from engine.json_schema import Schema, cleaned, refuse

BLANK = r"[ ]|\n[ \t]{0,32}"
MAX_CHOICES, MAX_PATTERN_CHARACTERS = 1024, 65_536
_AROUND = frozenset(("type", "properties", "required", "additionalProperties", "$defs", "definitions"))
_DEFINITIONS = ("$defs", "definitions")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar that has not been compiled yet, and the request's field that it came from."""

    text: str = field(repr=False)
    param: str


def of_schema(schema: Schema, param: str) -> Grammar:
    """Texts that are JSON values of a schema."""
    return Grammar(LLMatcher.grammar_from_json_schema(_embedded(cleaned(schema, param))), param)


def of_regex(pattern: str, param: str) -> Grammar:
    """Texts that a regular expression matches as a whole, in the notation of Rust's regex crate."""
    return Grammar(LLMatcher.grammar_from_regex(_bounded(pattern, param)), param)


def of_choices(texts: Sequence[str], param: str) -> Grammar:
    """One of several texts."""
    _bounded("".join(texts), param)
    return _lark("start: " + " | ".join(map(_quoted, texts)), param)


def of_lark(text: str, param: str) -> Grammar:
    """Texts of a grammar in llguidance's variant of Lark. Control tokens that it names are never drawn all the same."""
    return _lark(_bounded(text, param), param)


def of_calls(
    tools: Sequence[Mapping[str, Any]], param: str, is_single: bool = False, otherwise: Schema | None = None
) -> Grammar:
    """A list of calls of these tools, as chat_format.parse_calls reads it; or, if there is one, a value of a schema.

    Arguments are those that a tool declares, in that order. What no call can be written of is refused.
    """
    several = "" if is_single else f' (", " call){{0,{MAX_CALLS - 1}}}'
    rules = [f'calls: "[" call{several} "]"', "call: " + " | ".join(f"call_{at}" for at in range(len(tools)))]
    for at, tool in enumerate(tools):
        rules += _call_rules(at, tool, param)
    if otherwise is None:
        return _lark("\n".join(["start: calls", *rules]), param)
    value = f"value: %json {_embedded(cleaned(otherwise, param))}"
    return _lark("\n".join(["start: value | calls", value, *rules]), param)


def _lark(text: str, param: str) -> Grammar:
    return Grammar(LLMatcher.grammar_from_lark(text), param)


def _bounded(text: str, param: str) -> str:
    if not 0 < len(text) <= MAX_PATTERN_CHARACTERS:
        refuse(param, f"is not 1 to {MAX_PATTERN_CHARACTERS} characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        refuse(param, "holds half of a surrogate pair, which is not a character")
    return text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _embedded(schema: Schema) -> str:
    """The schema with how its values are written. Control characters alone are escaped, as in Python."""
    return json.dumps({"x-guidance": {"whitespace_pattern": BLANK}, **schema})


def _call_rules(at: int, tool: Mapping[str, Any], param: str) -> list[str]:
    """One tool: its name, and its arguments in order, those that are not required left out or not.

    `first_n` writes what is left from argument n on when none has been written yet, `more_n` when one has.
    """
    names, schemas, required = _arguments(tool, param)
    rules = [f'call_{at}: {_quoted(_name(tool, param) + "(")} first_{at}_0 ")"']
    for index, name in enumerate(names):
        value, following = f"value_{at}_{index}", f"more_{at}_{index + 1}"
        skipped = [] if name in required else ["first", "more"]
        for kind, before in (("first", ""), ("more", ", ")):
            written = f"{_quoted(before + name + '=')} {value} {following}"
            options = [written, *(f"{kind}_{at}_{index + 1}" for one in skipped if one == kind)]
            rules.append(f"{kind}_{at}_{index}: " + " | ".join(options))
        rules.append(f"{value}: %json {_embedded(schemas[name])}")
    end = len(names)
    return [*rules, f'first_{at}_{end}: ""', *([f'more_{at}_{end}: ""'] if names else [])]


def _name(tool: Mapping[str, Any], param: str) -> str:
    name = str(tool["name"])
    if not all(_is_identifier(piece) for piece in name.split(".")):
        refuse(param, "demands a call of a tool whose name this model's calls cannot hold: it is no Python identifier")
    return name


def _arguments(tool: Mapping[str, Any], param: str) -> tuple[list[str], dict[str, Schema], frozenset[str]]:
    """Names in order, what each may be, and which may not be left out."""
    parameters = cleaned(tool.get("parameters") or {}, param, into=("#/$defs/", "#/definitions/"), finite=True)
    if odd := sorted(set(parameters) - _AROUND):
        refuse(param, f"demands a call of a tool whose arguments are described with `{odd[0]}`")
    if parameters.get("type", "object") != "object":
        refuse(param, "demands a call of a tool whose arguments are no object")
    required, properties = parameters.get("required", []), dict(parameters.get("properties", {}))
    if not isinstance(required, list):
        refuse(param, "has a `required` that is no list")
    properties |= {name: {} for name in map(str, required) if name not in properties}
    if not all(map(_is_identifier, properties)):
        refuse(param, "demands a call of a tool with an argument whose name is no Python identifier")
    shared = {key: parameters[key] for key in _DEFINITIONS if key in parameters}
    schemas = {name: _argument(schema, shared, param) for name, schema in properties.items() if schema is not False}
    if not set(map(str, required)) <= set(schemas):
        refuse(param, "demands a call of a tool with a required argument that has no value")
    return list(schemas), schemas, frozenset(map(str, required))


def _argument(schema: Schema, shared: Mapping[str, Schema], param: str) -> Schema:
    if schema is True:
        return {}
    if not set(shared).isdisjoint(schema):
        refuse(param, "demands a call of a tool with definitions inside of an argument")
    return {**shared, **schema}


def _is_identifier(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
