"""A value is held against a schema, within bounds, and nothing outside the schema is looked at."""

from __future__ import annotations

import json

import pytest

from guards.rules.json_checks import NotJson, UnusableSchema, holds, parse

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value", "held"),
    [
        (PERSON, {"name": "Ann", "age": 3}, True),
        (PERSON, {"name": "ann"}, False),
        (PERSON, {"name": "Ann", "age": -1}, False),
        (PERSON, {"age": 3}, False),
        (PERSON, {"name": "Ann", "x": 1}, False),
        ({"items": {"$ref": "#/$defs/one"}, "$defs": {"one": {"enum": [1, 2]}}}, [1, 2], True),
        ({"items": {"$ref": "#/$defs/one"}, "$defs": {"one": {"enum": [1, 2]}}}, [1, 3], False),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 1}], False),
        ({"uniqueItems": True}, [1, "1"], True),
        ({"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": False}, {"n_a": 1}, True),
        ({"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": False}, {"n_a": "x"}, False),
        ({"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": {"type": "null"}}, {"b": 1}, False),
        ({"type": "string", "pattern": "(a+)+$"}, "a" * 50_000 + "b", False),
        (True, 1, True),
        (False, 1, False),
    ],
)
def test_a_value_holds_or_does_not(schema: object, value: object, held: bool) -> None:
    assert holds(json.dumps(schema), value) is held


@pytest.mark.parametrize("schema", [{"properties": {"patternProperties": True}}, {"default": {"patternProperties": 5}}])
def test_a_property_that_is_named_like_a_keyword_is_none(schema: object) -> None:
    assert holds(json.dumps(schema), {"patternProperties": 1})


def exponential(depth: int) -> dict[str, object]:
    """Each definition asks twice for the one below it."""
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, depth)}
    return {"$ref": f"#/$defs/d{depth - 1}", "$defs": {"d0": {"type": "integer"}, **defs}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/none"},
        {"pattern": "(?=x)"},
        {"$ref": "#"},
        {"$id": "http://[", "$ref": "#a"},
        {"unevaluatedProperties": False},
        exponential(40),
        {"description": "x" * 200_001},
    ],
    ids=["no type", "http", "file", "nowhere", "look-ahead", "itself", "no host", "unevaluated", "exponential", "long"],
)
def test_a_schema_that_cannot_be_used_is_an_error_and_never_a_pass(schema: object) -> None:
    with pytest.raises(UnusableSchema) as caught:
        holds(
            json.dumps(schema), "some text" if "pattern" in str(schema) else {"a": 1} if "uneval" in str(schema) else 1
        )
    assert not str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", '{"a":1,"a":2}', "[" * 100_000, "1" * 5_000, "'a'"])
def test_what_is_not_json_is_an_error(text: str) -> None:
    with pytest.raises(NotJson):
        parse(text)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"enum": [f"x{n}" for n in range(10_000)]}}, ["x9999"] * 10_000),
        ({"patternProperties": {f"a{n}": {} for n in range(500)}}, {f"b{n}": 1 for n in range(5_000)}),
        ({"patternProperties": {"a": {}, "b": {}}, "additionalProperties": {}}, {f"c{n}": 1 for n in range(100_000)}),
    ],
)
def test_what_a_keyword_lists_is_paid_for(schema: object, value: object) -> None:
    with pytest.raises(UnusableSchema):
        holds(json.dumps(schema), value)


def test_a_list_of_countries_for_each_of_many_rows_is_affordable() -> None:
    countries = [f"country {n}" for n in range(200)]
    assert holds(json.dumps({"items": {"properties": {"in": {"enum": countries}}}}), [{"in": countries[-1]}] * 500)
