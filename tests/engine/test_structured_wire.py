"""One field describes an answer, and each is read to the last key."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import BadRequest
from engine.grammar import Grammar, of_calls, of_choices, of_lark, of_regex, of_schema
from engine.structured_wire import ToolChoice, grammar_of, tool_choice
from engine.wire import Fields

SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
NAMED = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"}}
F, G = {"name": "f"}, {"name": "g"}


def read(*tools: Any, **body: Any) -> Grammar | None:
    fields = Fields(body)
    found = grammar_of(fields, tool_choice(fields, tools))
    fields.done()
    return found


def refused(*tools: Any, **body: Any) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(*tools, **body)
    return caught.value.code, caught.value.param


def test_nothing_said_is_nothing_constrained() -> None:
    assert read() is None
    assert read(F, response_format={"type": "text"}) is None
    assert read(F, tool_choice="auto") is None


def test_formats_become_grammars() -> None:
    at = "response_format.json_schema.schema"
    assert read(response_format=NAMED) == of_schema(SCHEMA, at)
    assert read(response_format={"type": "json_object"}) == of_schema({"type": "object"}, "response_format")
    assert read(response_format={"type": "json_schema", "json_schema": {"name": "n"}}) == of_schema({}, at)


def test_vllms_fields_become_the_same() -> None:
    assert read(guided_json=SCHEMA) == of_schema(SCHEMA, "guided_json")
    assert read(guided_json='{"type": "null"}') == of_schema({"type": "null"}, "guided_json")
    assert read(guided_regex="a+") == of_regex("a+", "guided_regex")
    assert read(guided_choice=["a", "b"]) == of_choices(["a", "b"], "guided_choice")
    assert read(guided_grammar='start: "a"') == of_lark('start: "a"', "guided_grammar")
    for kind, value in (("json", SCHEMA), ("json_object", True)):
        at = f"structured_outputs.{kind}"
        schema = SCHEMA if kind == "json" else {"type": "object"}
        assert read(structured_outputs={kind: value}) == of_schema(schema, at)
    assert read(structured_outputs={"choice": ["a"]}) == of_choices(["a"], "structured_outputs.choice")


def test_calls_are_demanded() -> None:
    assert read(F, G, tool_choice="required") == of_calls([F, G], "tool_choice")
    named = {"type": "function", "function": {"name": "g"}}
    assert read(F, G, tool_choice=named) == of_calls([G], "tool_choice")
    assert read(F, tool_choice="required", response_format=NAMED) == of_calls([F], "tool_choice")
    assert read(F, tool_choice="none", response_format=NAMED) == read(response_format=NAMED)
    either = of_calls([F], "response_format.json_schema.schema", otherwise=SCHEMA)
    assert read(F, response_format=NAMED) == either
    assert grammar_of(Fields({}), ToolChoice((F,), (F,)), is_single=True) == of_calls([F], "tool_choice", True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_object", "a": 1}}, "response_format.a"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "b": 1}}}, "response_format.json_schema.b"),  # noqa: E501
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs"),
        ({"structured_outputs": {"whitespace_pattern": "a"}}, "structured_outputs"),
        ({"structured_outputs": {"json_object": 1}}, "structured_outputs.json_object"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": 3}, "guided_json"),
        ({"guided_regex": ""}, "guided_regex"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": [""]}, "guided_choice"),
        ({"guided_choice": "a"}, "guided_choice"),
        ({"guided_grammar": ["a"]}, "guided_grammar"),
        ({"guided_regex": "a", "response_format": NAMED}, "guided_regex"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "absent"}}}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    code, named = refused(**body)
    assert named == param
    assert code in ("invalid_parameter", "unknown_parameter", "invalid_schema")
