"""The one encoding of a record, held against an independent implementation of RFC 8785."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.errors import RecordError
from gateway.audit.record import MAX_BYTES, MAX_INT, canonical, parse_line

KEYS = st.text(st.characters(max_codepoint=127), max_size=12)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_bytes_equal_those_of_rfc_8785(record: dict[str, object]) -> None:
    line = canonical(record)
    assert line == rfc8785.dumps(record)  # type: ignore[arg-type]
    assert parse_line(line) == record


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), MAX_INT + 1, -MAX_INT - 1, b"bytes", {1: "x"}, {"ключ": 1}, {"k": object()}, {1, 2}, "\ud800"],
)
def test_values_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(RecordError):
        canonical({"field": value})
    with pytest.raises(RecordError):
        canonical({"outer": {"list": [value]}})


def test_refusal_names_the_field_and_not_its_value() -> None:
    with pytest.raises(RecordError) as caught:
        canonical({"guards": [{"score": 0.123456}]})
    assert "`score`" in str(caught.value)
    assert "0.12" not in str(caught.value)


def test_nothing_is_cut_to_fit() -> None:
    room = MAX_BYTES - len(canonical({"s": ""}))
    assert len(canonical({"s": "x" * room})) == MAX_BYTES
    with pytest.raises(RecordError, match="expected at most"):
        canonical({"s": "x" * (room + 1)})


def test_deep_nesting_is_an_error_and_not_a_crash() -> None:
    value: object = 1
    for _ in range(5000):
        value = [value]
    with pytest.raises(RecordError, match="nested"):
        canonical({"deep": value})
    with pytest.raises(RecordError):
        parse_line(b'{"deep":' + b"[" * 16000 + b"]" * 16000 + b"}")


@pytest.mark.parametrize(
    "line",
    [
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'{"a":1} ',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0}',
        b'{"a":NaN}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b"[1]",
        b"1",
        b"",
        b'{"a":01}',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_line_in_any_other_spelling_is_refused(line: bytes) -> None:
    with pytest.raises(RecordError):
        parse_line(line)


def test_control_characters_are_spelled_as_the_standard_says() -> None:
    text = "".join(map(chr, range(0x20))) + '\x7f"\\\u2028'
    assert canonical({"s": text}) == rfc8785.dumps({"s": text})
    assert json.loads(canonical({"s": text})) == {"s": text}
