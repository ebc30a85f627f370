"""Of a schema everything is enforced, or the request is refused by a keyword's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequest
from engine.json_schema import KEYWORDS, LARGEST, MAX_DEPTH, cleaned, keyword_in


def problem(schema: Any, **options: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        cleaned(schema, "field", **options)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_schema", "field")
    assert caught.value.problem.startswith("`field` ")
    assert "SECRET" not in caught.value.problem
    return caught.value.problem


def test_annotations_are_left_out_wherever_a_schema_is() -> None:
    said = {"title": "SECRET", "description": "SECRET", "default": 3, "x-order": 1, "deprecated": True, "strict": True}
    schema = {
        **said,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://a.test/s",
        "type": "object",
        "properties": {"title": {**said, "type": "string"}, "x-order": True},
        "$defs": {"description": {"anyOf": [said, {"items": said}]}},
    }
    assert cleaned(schema, "field") == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "x-order": True},
        "$defs": {"description": {"anyOf": [{}, {"items": {}}]}},
    }


def test_a_type_that_is_none_is_left_to_the_grammar_to_refuse() -> None:
    for odd in ([[]], [{}], 5, {}):
        assert cleaned({"type": odd}, "field", finite=True) == {"type": odd}


def test_values_are_no_schemas() -> None:
    schema = {"enum": [{"title": 1, "not": 2}], "const": {"$ref": "http://a.test"}}
    assert cleaned(schema, "field") == schema


def test_what_asks_for_nothing_is_left_out() -> None:
    assert cleaned({"uniqueItems": False, "minProperties": 0, "format": "password"}, "field") == {}
    assert cleaned({"format": "uuid"}, "field") == {"format": "uuid"}
    needed = {"required": ["a", "b"], "minProperties": 2}
    assert cleaned(needed, "field") == {"required": ["a", "b"]}
    assert cleaned({"minProperties": 1}, "field") == {"minProperties": 1}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"not": {}}, "`not`"),
        ({"items": {"if": {}}}, "`if`"),
        ({"properties": {"SECRET": {"uniqueItems": True}}}, "`uniqueItems`"),
        ({"anyOf": [{"propertyNames": {}}]}, "`propertyNames`"),
        ({"minProperties": 2}, "`minProperties`"),
        ({"SECRET": 1}, "not one of JSON Schema"),
        ({"nullable": True}, "`nullable`"),
        ({"properties": {"a": {"$id": "b"}}}, "`$id`"),
        ({"properties": []}, "`properties`"),
        ({"anyOf": {}}, "`anyOf`"),
        ({"items": 3}, "expects a schema"),
        ({"$schema": 3}, "`$schema`"),
        ({"enum": ["x" * 140_000]}, "characters"),
        (True, "no JSON Schema"),
        (["SECRET"], "no JSON Schema"),
        (None, "no JSON Schema"),
    ],
)  # fmt: skip
def test_what_cannot_be_enforced_is_refused_by_name(schema: Any, told: str) -> None:
    assert told in problem(schema)


@pytest.mark.parametrize("target", ["http://169.254.169.254/x", "file:///etc/passwd", "other.json#/a", "", 3])
def test_references_lead_into_the_schema_only(target: Any) -> None:
    assert "`$ref`" in problem({"properties": {"a": {"$ref": target}}})
    assert cleaned({"$ref": "#/$defs/a"}, "field") == {"$ref": "#/$defs/a"}
    assert "`#/$defs/`" in problem({"$ref": "#/properties/a"}, into=("#/$defs/",))


def test_depth_is_bounded_and_nothing_overflows() -> None:
    deep: Any = {}
    for _ in range(MAX_DEPTH + 2):
        deep = {"items": deep}
    assert "levels" in problem(deep)
    for _ in range(100_000):
        deep = {"items": deep}
    assert "nested too deeply" in problem(deep)


def test_numbers_get_bounds_where_they_have_to_be_finite() -> None:
    bounded = cleaned(
        {"anyOf": [{"type": "number"}, {"type": ["integer", "null"], "minimum": 3}]}, "field", finite=True
    )
    assert bounded == {
        "anyOf": [
            {"minimum": -LARGEST, "maximum": LARGEST, "type": "number"},
            {"minimum": 3, "maximum": LARGEST, "type": ["integer", "null"]},
        ]
    }
    assert cleaned({"type": "string"}, "field", finite=True) == {"type": "string"}


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from([*sorted(KEYWORDS), "SECRET"]), inner, max_size=3)))  # fmt: skip
def test_anything_is_cleaned_or_refused(schema: Any) -> None:
    try:
        once = cleaned(schema, "field")
    except BadRequest:
        problem(schema)
    else:
        assert cleaned(once, "field") == once


def test_options_that_a_tag_tells_apart_exclude_each_other() -> None:
    def tagged(tag: Any, **more: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"], **more}

    options = [{"$ref": "#/$defs/A"}, tagged("b")]
    schema = {"$defs": {"A": tagged("a")}, "oneOf": options}
    assert cleaned(schema, "field") == {"$defs": {"A": tagged("a")}, "anyOf": options}
    for other in ("a", None, 3):
        alike = {**schema, "oneOf": [options[0], tagged(other)]}
        assert cleaned(alike, "field") == alike
    for loose in (tagged("b", required=[]), tagged("b", type=["object", "null"]), {}, True, {"$ref": "#/$defs/None"}):
        unproved = {**schema, "oneOf": [options[0], loose]}
        assert cleaned(unproved, "field") == unproved
    both = {"oneOf": [tagged("a"), tagged("b")], "anyOf": [{}]}
    assert cleaned(both, "field") == both


def test_only_keywords_are_taken_from_a_message() -> None:
    assert keyword_in("Expected f64 for 'minimum', got \"SECRET\"") == "minimum"
    assert keyword_in("regex parse error: SECRET") == "pattern"
    assert keyword_in("Pointer '/SECRET' does not exist") == "$ref"
    assert keyword_in("SECRET") is None
