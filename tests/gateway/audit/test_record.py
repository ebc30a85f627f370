"""The one encoding of a record, held against an independent implementation of RFC 8785."""

from __future__ import annotations

import json
from datetime import date, datetime
from enum import Enum, IntEnum, StrEnum
from uuid import UUID

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from orjson import Fragment

from gateway.audit.errors import RecordError
from gateway.audit.record import MAX_BYTES, MAX_DEPTH, MAX_INT, canonical, check_value, may_hold_float, parse_line

KEYS = st.text(st.characters(max_codepoint=127), max_size=12)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_bytes_equal_those_of_rfc_8785(record: dict[str, object]) -> None:
    line = canonical(record)
    assert line == rfc8785.dumps(record)  # type: ignore[arg-type]
    assert parse_line(line) == record


def encode_by_json(record: object) -> bytes:
    """What wrote records before orjson did."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_bytes_equal_those_of_the_encoder_before(record: dict[str, object]) -> None:
    assert canonical(record) == encode_by_json(record)


@pytest.mark.parametrize(
    "text",
    ["\x00\x01\x1f", "\x7f\x80", "\u2028\u2029", "\ufffe\uffff", "\U0001f600", 'a\\"/b', "\t\n\r\b\f", ":1.5,", ",e,"],
)
def test_texts_that_encoders_like_to_spell_differently(text: str) -> None:
    record = {"s": text, text.encode("ascii", "ignore").decode(): 1, "list": [text, 0, -MAX_INT, MAX_INT, True, None]}
    assert canonical(record) == encode_by_json(record) == rfc8785.dumps(record)
    assert parse_line(canonical(record)) == record


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
MIXED = st.recursive(
    LEAVES | FLOATS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


def holds_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(holds_float, value.values()))
    return any(map(holds_float, value)) if isinstance(value, list) else isinstance(value, float)


@given(st.dictionaries(KEYS, MIXED, min_size=1, max_size=6))
def test_no_line_with_a_float_passes_in_any_spelling(record: dict[str, object]) -> None:
    spellings = (orjson.dumps(record, option=orjson.OPT_SORT_KEYS), encode_by_json(record))
    for line in spellings if holds_float(record) else ():
        assert may_hold_float(line)
        assert may_hold_float(b'{"a":1}\n' + line + b'\n{"b":[true,null]}')
        with pytest.raises(RecordError):
            parse_line(line)


def test_lines_of_the_gateway_do_not_look_as_if_they_held_a_float() -> None:
    line = canonical(
        {"d": "sha256:0e1", "list": ["e", ".", "1.5", True, False, None], "version": "0.1.0", "n": [1, -1]}
    )
    assert not may_hold_float(line)
    assert parse_line(line)["version"] == "0.1.0"


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.data())
def test_verdict_on_a_changed_line_is_that_of_the_parser_before(record: dict[str, object], data: st.DataObject) -> None:
    line = bytearray(canonical(record))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(line) - 1)))
        line[at : at + data.draw(st.integers(0, 1))] = bytes(
            data.draw(st.lists(st.sampled_from(b'{}[]:,"\\.eE-+01 un\xc3\xa9'), max_size=2))
        )
    line = line or bytearray(b"x")
    try:
        found: object = parse_line(bytes(line))
    except RecordError:
        found = None
    assert found == parse_by_json(bytes(line))


def parse_by_json(line: bytes) -> object:
    """The rules of docs/audit-format.md, without orjson."""

    def refuse(text: str) -> int:
        raise ValueError(text)

    def integer(text: str) -> int:
        return int(text) if abs(int(text)) <= MAX_INT else refuse(text)

    try:
        record = json.loads(line.decode(), parse_float=refuse, parse_constant=refuse, parse_int=integer)
        return record if isinstance(record, dict) and encode_by_json(record) == line else None
    except (ValueError, RecursionError):
        return None


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), MAX_INT + 1, -MAX_INT - 1, b"bytes", {1: "x"}, {"ключ": 1}, {"k": object()}, {1, 2}, "\ud800"],
)
def test_values_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(RecordError):
        canonical({"field": value})
    with pytest.raises(RecordError):
        canonical({"outer": {"list": [value]}})


class Word(str):
    """A subclass, which an encoder may take for what it likes."""


ODD = [0.5, float("nan"), float("inf"), b"b", Word("w"), IntEnum("Few", "ONE").ONE, StrEnum("Texts", "ONE").ONE]  # type: ignore[attr-defined]
ODD += [Enum("Any", "ONE").ONE, MAX_INT + 1, UUID(int=1), datetime(2026, 1, 1), date(2026, 1, 1), Fragment(b"1.50")]  # type: ignore[attr-defined]
ODD += [{"ключ": 1}, {Word("w"): 1}, {1: 1}, (1, "two"), {1}, "\ud800", "é", object(), type("Table", (dict,), {})()]
ANYTHING = st.recursive(
    LEAVES | st.sampled_from(ODD), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=4))
def test_what_is_refused_is_what_the_check_refuses(record: dict[str, object]) -> None:
    """Whatever the encoder would make of it: orjson writes `null` for a NaN, and a UUID as if it were text."""
    try:
        check_value(record)
        expected: bytes | None = encode_by_json(record)
    except (RecordError, UnicodeEncodeError):
        expected = None
    if expected is None:
        with pytest.raises(RecordError):
            canonical(record)
    else:
        assert canonical(record) == expected


@pytest.mark.parametrize("kind", [list, dict])
def test_depth_of_a_record_has_one_bound(kind: type) -> None:
    def nested(levels: int) -> object:
        value: object = "end"
        for _ in range(levels):
            value = [value] if kind is list else {"k": value}
        return value

    assert parse_line(canonical({"deep": nested(MAX_DEPTH - 1)}))
    with pytest.raises(RecordError, match="nested deeper than 16"):
        canonical({"deep": nested(MAX_DEPTH)})


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
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
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
