"""Answers and tool calls held against what the request declared for them, or against a schema of the policy.

    json_schema      an answer: the schema of the request's `response_format`, and the policy's own
    tool_arguments   a tool call: its tool is among the request's `tools`, and its arguments are what that one takes

A part that does not hold is one find over all of it, labelled with why. A schema that cannot be used (see json_checks)
is a find as well: whoever sends a schema nobody can check against has not been given a checked answer. Without a
schema to hold against, `json_schema` finds nothing and says nothing about the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.options import Options
from guards.rules.contextual import ContextualGuard, Find
from guards.rules.json_checks import NotJson, UnusableSchema, holds, parse
from guards.verdict import Context, Part, Span

MAX_TEXT: Final = 1_000_000
ANSWER_LABELS: Final = ("not_json", "schema_mismatch", "schema_unusable")
CALL_LABELS: Final = ("not_json", "schema_mismatch", "schema_unusable", "unknown_tool")
_CALL: Final = re.compile(r"(.*/tool_calls/\d+/function)/(name|arguments)")
_TOOL: Final = re.compile(r"/tools/\d+/function")
_FORMAT: Final = "/response_format/json_schema"
_ANY: Final = {"type": "object"}
"""What a tool takes that does not say."""
_CONTENT: Final = re.compile(r"/choices/\d+/message/content")


class JsonSchemaGuard(ContextualGuard):
    """`schema` is the policy's own, for every answer; one of the request is held to besides."""

    def __init__(self, schema: str = "") -> None:
        super().__init__("json_schema", 2)
        self.labels = ANSWER_LABELS
        self.settings = {"schema": schema} if schema else {}
        self._schema = schema

    @classmethod
    def of(cls, options: Options) -> JsonSchemaGuard:
        value = options.values.get("schema")
        if value is None:
            return cls()
        if not isinstance(value, Mapping | str):
            raise GuardSetupError("json_schema", "expected a mapping", "schema")
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        try:
            holds(text, None)
        except UnusableSchema as exc:
            told = "not a JSON Schema that can be used, which has no reference out of it and only patterns of RE2"
            raise GuardSetupError("json_schema", told, "schema") from exc
        return cls(text)

    def finder(self, context: Context) -> Find:
        asked = _declared(context, _FORMAT).get("schema")
        schemas = [one for one in (self._schema, asked and json.dumps(asked)) if one]

        def find(part: Part) -> Iterator[Span]:
            if schemas and _CONTENT.fullmatch(part.path) and (label := _why_not("json_schema", part, schemas)):
                yield Span(0, len(part.text), label)

        return find


class ToolArgumentsGuard(ContextualGuard):
    """Judges the name and the arguments of a call, each by its own path."""

    def __init__(self) -> None:
        super().__init__("tool_arguments", 2)
        self.labels = CALL_LABELS

    @classmethod
    def of(cls, options: Options) -> ToolArgumentsGuard:
        return cls()

    def finder(self, context: Context) -> Find:
        tools = {str(tool.get("name")): json.dumps(tool.get("parameters", _ANY)) for tool in _tools(context)}
        other = json.dumps(_ANY)

        def find(part: Part) -> Iterator[Span]:
            found = _CALL.fullmatch(part.path)
            if found is None or not part.text:
                return
            if found[2] == "name":
                label = "" if part.tool in tools else "unknown_tool"
            else:
                label = _why_not("tool_arguments", part, [tools.get(part.tool, other)])
            if label:
                yield Span(0, len(part.text), label)

        return find


def _why_not(use: str, part: Part, schemas: list[str]) -> str:
    if len(part.text) > MAX_TEXT:
        raise GuardError(use, ErrorKind.TOO_LONG, f"a part has more than {MAX_TEXT} characters")
    try:
        value = parse(part.text)
    except NotJson:
        return "not_json"
    try:
        return "" if all(holds(schema, value) for schema in schemas) else "schema_mismatch"
    except UnusableSchema:
        return "schema_unusable"


def _tools(context: Context) -> Iterator[Mapping[str, Any]]:
    for path, text in context.schemas:
        if _TOOL.fullmatch(path):
            yield _first_line(text)


def _declared(context: Context, wanted: str) -> Mapping[str, Any]:
    return next((_first_line(text) for path, text in context.schemas if path == wanted), {})


def _first_line(text: str) -> Mapping[str, Any]:
    """The declaration; below it a part repeats the strings whose JSON is spelled otherwise."""
    try:
        found = json.loads(text.partition("\n")[0])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
