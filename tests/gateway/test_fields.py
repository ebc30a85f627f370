"""A reader returns the checked value or refuses it by the field's name, never by the value."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import fields
from gateway.errors import BadRequest

SECRET = "a text that must not come back"


def refused(read: fields.Reader, value: Any) -> BadRequest:
    with pytest.raises(BadRequest) as error:
        read(value, "the_field")
    return error.value


@pytest.mark.parametrize(
    "read",
    [fields.boolean, fields.integer(0, 5), fields.number(0, 1), fields.one_of("a", "b"), fields.identifier,
     fields.logit_bias],
)  # fmt: skip
@pytest.mark.parametrize("value", [SECRET, [SECRET], {SECRET: SECRET}, None, 1e300, -7])
def test_a_refusal_names_the_field_and_not_the_value(read: fields.Reader, value: Any) -> None:
    error = refused(read, value)
    assert (error.code, error.param) == ("invalid_value", "the_field")
    assert SECRET not in error.message


def test_booleans_are_not_numbers_here() -> None:
    """Python says that True is 1; another JSON reader does not."""
    refused(fields.integer(0, 5), True)
    refused(fields.number(0, 5), False)
    refused(fields.boolean, 1)


def test_bounds_are_inside_and_their_neighbours_are_not() -> None:
    for value in (0, 5):
        assert fields.integer(0, 5)(value, "x") == value
    for value in (-1, 6, 5.0):
        refused(fields.integer(0, 5), value)
    for value in (0, 0.5, 1):
        assert fields.number(0, 1)(value, "x") == value
    for value in (-0.001, 1.001, math.inf, math.nan):
        refused(fields.number(0, 1), value)


@pytest.mark.parametrize("name", ["a", "A-b_c.d:e", "x" * 128])
def test_identifiers_are_names(name: str) -> None:
    assert fields.identifier(name, "x") == name


@pytest.mark.parametrize("name", ["", "x" * 129, "two words", "a\n", "<b>", "é", "a\u200bb", "ａ"])
def test_what_could_be_a_sentence_or_markup_is_no_identifier(name: str) -> None:
    refused(fields.identifier, name)


def test_unknown_keys_are_refused_with_their_place_and_nulls_are_dropped() -> None:
    assert fields.known_keys({"a": 1, "b": None}, "", {"a": None, "b": None}) == {"a": 1}
    with pytest.raises(BadRequest) as error:
        fields.known_keys({"a": 1, "c": None}, "tools[0]", {"a": None})
    assert error.value.message == "unknown field `c` in `tools[0]`"
    with pytest.raises(BadRequest) as error:
        fields.known_keys({SECRET: 1}, "", {})
    assert SECRET not in error.value.message


@pytest.mark.parametrize("bias", [{"-1": 1}, {"1.5": 1}, {"١": 1}, {"9" * 10: 1}, {"": 1}, {"1": 101}, {"1": None}])
def test_logit_bias_maps_token_ids_to_small_numbers(bias: dict[str, Any]) -> None:
    assert fields.logit_bias({"0": -100, "128000": 100}, "x") == {"0": -100, "128000": 100}
    refused(fields.logit_bias, bias)
    refused(fields.logit_bias, {str(i): 1 for i in range(1025)})


@given(st.text())
def test_identifiers_stay_inside_their_alphabet(text: str) -> None:
    try:
        fields.identifier(text, "x")
    except BadRequest:
        return
    assert text.isascii()
    assert not set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")
