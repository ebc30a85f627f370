"""A demanded call is one that parse_calls reads, with arguments that its tool takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.chat_format import parse_calls
from engine.errors import BadRequest
from engine.events import Finished
from engine.grammar import MAX_PATTERN_CHARACTERS, of_calls, of_choices, of_lark, of_regex, of_schema
from tests.engine.constrained import answer, constraints

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 8},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "units": {"enum": ["C", "F", None, True]},
        },
        "required": ["days"],
        "additionalProperties": False,
    },
}
NOW = {"name": "clock.now"}
LEAVES = st.sampled_from(
    [
        {"type": "string", "maxLength": 6},
        {"type": "number"},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ['a"b', "\\", "é😀\n\x07\x00\x7f", None, False, 1.5, {"k": [1, None]}]},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        {"type": "object", "properties": {"q r": {"type": "string", "maxLength": 4}}, "additionalProperties": False},
        {"$ref": "#/$defs/tree"},
    ]
)
TREE = {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1}


@st.composite
def tools(draw: st.DrawFn) -> dict[str, Any]:
    properties = draw(st.dictionaries(st.sampled_from("abcde"), LEAVES, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    parameters = {"type": "object", "properties": properties, "required": required, "$defs": {"tree": TREE}}
    return {"name": draw(st.sampled_from(["f", "g.h"])), "parameters": parameters}


@settings(max_examples=80, deadline=None)
@given(tool=tools(), seed=st.integers(0, 2**32), single=st.booleans())
def test_every_demanded_call_is_read_and_valid(tool: dict[str, Any], seed: int, single: bool) -> None:
    answered = answer(of_calls([tool, NOW], "tool_choice", single), seed)
    assert isinstance(answered.end, Finished)
    if not answered.is_whole:
        return
    calls = parse_calls(answered.text, frozenset({tool["name"], "clock.now"}))
    assert calls, answered.text
    assert len(calls) == 1 or not single
    for call in calls:
        schema = tool["parameters"] if call.name == tool["name"] else {"maxProperties": 0}
        jsonschema.validate(json.loads(call.arguments), schema)


def test_arguments_may_be_left_out_unless_they_are_required() -> None:
    seen = {answer(of_calls([WEATHER], "p", is_single=True), seed).text for seed in range(40)}
    given = [json.loads(parse_calls(text, frozenset({"get_weather"}))[0].arguments) for text in seen]
    assert all("days" in one for one in given)
    assert {frozenset(one) for one in given} >= {frozenset({"days"}), frozenset({"days", "city"})}


def test_a_value_may_take_the_place_of_calls() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    grammar = of_calls([NOW], "p", otherwise=schema)
    texts = {answer(grammar, seed, haste=0.0).text.replace(" ", "").replace("\n", "") for seed in range(30)}
    assert {"[clock.now()]", '{"a":true}', '{"a":false}'} <= {text.replace("\t", "") for text in texts}


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ({"name": "get-weather"}, "name"),
        ({"name": "class"}, "name"),
        ({"name": "a..b"}, "name"),
        ({"name": "é"}, "name"),
        ({"name": "f", "parameters": {"properties": {"SECRET-x": {}}}}, "argument"),
        ({"name": "f", "parameters": {"properties": {"class": {}}}}, "argument"),
        ({"name": "f", "parameters": {"anyOf": []}}, "`anyOf`"),
        ({"name": "f", "parameters": {"type": "array"}}, "no object"),
        ({"name": "f", "parameters": {"required": "a"}}, "`required`"),
        ({"name": "f", "parameters": {"required": ["a"], "properties": {"a": False}}}, "no value"),
        ({"name": "f", "parameters": {"properties": {"a": {"$defs": {}}}, "$defs": {}}}, "definitions"),
        ({"name": "f", "parameters": {"properties": {"a": {"$ref": "#/properties/b"}}}}, "`$ref`"),
        ({"name": "f", "parameters": {"properties": {"a": {"not": {}}}}}, "`not`"),
        ({"name": "f", "parameters": ["SECRET"]}, "no JSON Schema"),
    ],
)  # fmt: skip
def test_what_no_call_can_be_written_of_is_refused(tool: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        of_calls([tool], "tool_choice")
    assert (caught.value.code, caught.value.param) == ("invalid_schema", "tool_choice")
    assert told in caught.value.problem
    assert "SECRET" not in caught.value.problem


def test_what_a_tool_requires_without_describing_it_may_be_anything() -> None:
    parameters = {"properties": {"b": True, "gone": False}, "required": ["a"]}
    grammar = of_calls([{"name": "f", "parameters": parameters}], "p", is_single=True)
    assert constraints().compiled(grammar)
    for seed in range(10):
        answered = answer(grammar, seed, haste=6.0)
        assert not answered.is_whole or "a=" in answered.text
        assert "gone" not in answered.text


def test_blanks_are_bounded() -> None:
    grammar = of_schema({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, "p")
    for seed in range(20):
        text = answer(grammar, seed, haste=1.0, max_tokens=60).text
        assert "  " not in text.replace("\n ", "\n").replace("\n\t", "\n").split("\n")[0]


def test_grammars_are_bounded_texts() -> None:
    for wrong in ("", "x" * (MAX_PATTERN_CHARACTERS + 1), "\ud800"):
        for of in (of_regex, of_lark):
            with pytest.raises(BadRequest):
                of(wrong, "p")
    with pytest.raises(BadRequest):
        of_choices(["\udfff"], "p")


def test_equal_demands_are_equal_texts() -> None:
    assert of_schema({"type": "null", "title": "a"}, "p") == of_schema({"title": "b", "type": "null"}, "p")
    assert "SECRET" not in repr(of_regex("SECRET", "p"))
