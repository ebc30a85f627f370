"""Answers and calls are held against what the request declared, and a find says why and covers the whole part."""

from __future__ import annotations

import json

import pytest

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.options import Options
from guards.rules.structured import MAX_TEXT, JsonSchemaGuard, ToolArgumentsGuard
from guards.verdict import NO_CONTEXT, Context, Part, Scope

ANSWER = "/choices/0/message/content"
CALL = "/choices/0/message/tool_calls/0/function"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def declaring(path: str, said: object) -> Context:
    """The strings that JSON spells otherwise stand below, as gateway/wire.py writes them."""
    return Context.of([Part(Scope.TOOL_SCHEMA, path, "tool", json.dumps(said) + "\nb\\d")])


FORMAT = declaring("/response_format/json_schema", {"name": "x", "schema": SCHEMA})
TOOL = declaring("/tools/0/function", {"name": "get", "parameters": SCHEMA})


async def why(guard: JsonSchemaGuard | ToolArgumentsGuard, part: Part, context: Context) -> str:
    [verdict] = await guard.judge([part], context)
    assert all((span.start, span.end) == (0, len(part.text)) for span in verdict.spans)
    return "".join(span.label for span in verdict.spans)


@pytest.mark.parametrize(
    ("text", "label"),
    [('{"n": 1}', ""), ('{"n": "1"}', "schema_mismatch"), ("Sure! {}", "not_json"), ("", "")],
)
async def test_an_answer_is_held_to_the_schema_of_its_request(text: str, label: str) -> None:
    part = Part(Scope.OUTPUT, ANSWER, "assistant", text)
    found = await why(JsonSchemaGuard(), part, FORMAT) if text else ""
    assert found == label


async def test_an_answer_is_held_to_the_policys_schema_as_well() -> None:
    own = JsonSchemaGuard.of(Options("json_schema", {"schema": {"maxProperties": 1}}, {"schema"}))
    answers = {'{"n": 1}': "", '{"n": 1, "m": 2}': "schema_mismatch"}
    for text, label in answers.items():
        assert await why(own, Part(Scope.OUTPUT, ANSWER, "assistant", text), FORMAT) == label
        assert await why(own, Part(Scope.OUTPUT, ANSWER, "assistant", text), NO_CONTEXT) == label


async def test_without_a_schema_nothing_is_said_and_a_bad_one_is_a_find() -> None:
    part = Part(Scope.OUTPUT, ANSWER, "assistant", '{"n": 1}')
    assert await why(JsonSchemaGuard(), part, NO_CONTEXT) == ""
    bad = declaring("/response_format/json_schema", {"name": "x", "schema": {"$ref": "https://a.test/s"}})
    assert await why(JsonSchemaGuard(), part, bad) == "schema_unusable"


@pytest.mark.parametrize(
    ("place", "tool", "text", "label"),
    [
        ("name", "get", "get", ""),
        ("name", "drop", "drop", "unknown_tool"),
        ("arguments", "get", '{"n": 1}', ""),
        ("arguments", "get", '{"n": 1.5}', "schema_mismatch"),
        ("arguments", "get", '{"n": 1', "not_json"),
        ("arguments", "get", "[1]", "schema_mismatch"),
        ("arguments", "drop", "[1]", "schema_mismatch"),
    ],
)
async def test_a_call_is_held_to_its_tool(place: str, tool: str, text: str, label: str) -> None:
    part = Part(Scope.TOOL_CALL, f"{CALL}/{place}", "tool", text, tool=tool)
    assert await why(ToolArgumentsGuard(), part, TOOL) == label


async def test_a_part_that_is_too_long_has_no_verdict() -> None:
    part = Part(Scope.OUTPUT, ANSWER, "assistant", "1" * (MAX_TEXT + 1))
    with pytest.raises(GuardError) as caught:
        await JsonSchemaGuard().judge([part], FORMAT)
    assert caught.value.kind is ErrorKind.TOO_LONG


@pytest.mark.parametrize("schema", [[1], {"type": "nothing"}, {"$ref": "https://a.test"}, {"pattern": "(?=x)"}, "{"])
def test_a_schema_of_the_policy_that_cannot_be_used_is_refused(schema: object) -> None:
    with pytest.raises(GuardSetupError) as caught:
        JsonSchemaGuard.of(Options("json_schema", {"schema": schema}, {"schema"}))
    assert caught.value.option == "schema"
