"""Bodies are one strict JSON object, and a field nobody asked for is an error."""

from __future__ import annotations

import json

import pytest

from engine.errors import BadRequest, TooLarge
from engine.wire import Fields, error_body, parse_object


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1",
        b"[]",
        b"null",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b"\xff{}",
        b"{" * 99_999,
        b'{"a":}',
    ],
)
def test_what_is_not_one_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_object(body)
    assert caught.value.code == "invalid_json"


def test_fields_that_were_not_read_are_refused_by_name() -> None:
    fields = parse_object(b'{"a": "x", "b": 1, "c": 2}')
    assert (fields.text("a"), fields.integer("b", 0, 0, 9)) == ("x", 1)
    with pytest.raises(BadRequest) as caught:
        fields.done()
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "c")
    fields.ignored("c")
    fields.done()


def test_a_name_that_no_answer_can_hold_is_shown_without_what_is_no_character() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_object(b'{"a\\ud800": 1}').done()
    assert caught.value.param == "a?"
    json.dumps(error_body(caught.value), ensure_ascii=False).encode()


@pytest.mark.parametrize("value", [True, "1", 1.5, -1, 10, [1]])
def test_an_integer_is_an_integer_in_range(value: object) -> None:
    with pytest.raises(BadRequest):
        Fields({"n": value}).integer("n", 0, 0, 9)


@pytest.mark.parametrize("value", [True, "1", -0.1, 2.1, None.__class__])
def test_a_number_is_a_number_in_range(value: object) -> None:
    with pytest.raises(BadRequest):
        Fields({"n": value}).number("n", 0, 0, 2)


def test_absent_and_null_are_the_default() -> None:
    for fields in (Fields({}), Fields({"n": None})):
        assert fields.integer("n", 3, 0, 9) == 3
        assert fields.number("n", 0.5, 0, 1) == 0.5
        assert fields.flag("n") is False


def test_wrong_types_of_text_and_flag_are_refused() -> None:
    with pytest.raises(BadRequest):
        Fields({"a": 1}).text("a")
    with pytest.raises(BadRequest):
        Fields({"a": 1}).flag("a")


def test_an_option_without_effect_is_accepted_only_where_it_changes_nothing() -> None:
    Fields({"penalty": 0}).neutral("penalty", 0)
    Fields({}).neutral("penalty", 0)
    with pytest.raises(BadRequest) as caught:
        Fields({"penalty": 1.5}, "outer.").neutral("penalty", 0)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "outer.penalty")


def test_errors_have_the_envelope_of_openai() -> None:
    assert error_body(TooLarge("body_too_large", "too big", "input")) == {
        "error": {"message": "too big", "type": "invalid_request_error", "param": "input", "code": "body_too_large"}
    }
