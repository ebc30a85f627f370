"""Parsers disagree about these bodies, so each is refused with its own code."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.jsonstrict import dumps, is_json, loads, name_of, without_escapes

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_key"),
        (b'{"x": {"a": 1, "a": 1}}', "duplicate_key"),
        (b'{"a": NaN}', "invalid_number"),
        (b'{"a": -Infinity}', "invalid_number"),
        (b'{"a": 1e999}', "invalid_number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "invalid_number"),
        (b'{"a": "\\ud800"}', "lone_surrogate"),
        (b'{"\\udfff": 1}', "lone_surrogate"),
        (b'"\xed\xa0\x80"', "not_utf8"),
        (b'{"a": "\xff"}', "not_utf8"),
        ("{}".encode("utf-16"), "not_utf8"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b"{", "invalid_json"),
        (b"", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": "\n"}', "invalid_json"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "too_deep"),
    ],
)
def test_ambiguous_bodies_are_refused(body: bytes, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        loads(body, max_depth=64)
    assert refused.value.code == code


def test_brackets_inside_strings_are_not_depth() -> None:
    body = json.dumps({"code": '[[[{{{"' * 500}).encode()
    assert loads(body, max_depth=4) == {"code": '[[[{{{"' * 500}


@pytest.mark.parametrize("quote", [b'\\"', b'"', b"\\", b'"\\'])
def test_a_string_without_an_end_costs_one_pass(quote: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(BadRequest):
        loads(b"[" * 70 + b'"' + quote * 500_000, max_depth=64)
    assert time.process_time() - begun < 2  # what is quadratic here takes an hour


@given(JSON)
def test_what_json_says_is_what_we_read_and_write(value: object) -> None:
    body = json.dumps(value).encode()
    assert loads(body, max_depth=64) == value
    assert json.loads(dumps(loads(body, max_depth=64))) == value


def test_what_the_fast_encoder_does_not_take_is_written_too() -> None:
    deep = loads(b"[" * 300 + b"]" * 300, max_depth=300)
    assert dumps([2**64, -(2**70)]) == b"[18446744073709551616,-1180591620717411303424]"
    assert dumps(deep) == b"[" * 300 + b"]" * 300


CODES = {"not_utf8", "invalid_json", "duplicate_key", "invalid_number", "too_deep", "lone_surrogate"}


def outcome(body: bytes) -> str:
    try:
        loads(body, max_depth=8)
    except BadRequest as refused:
        return refused.code
    return "read"


@given(st.binary(max_size=200))
def test_no_bytes_make_it_crash(body: bytes) -> None:
    assert outcome(body) in CODES | {"read"}


def test_a_field_name_is_printed_only_when_it_cannot_be_prose() -> None:
    assert name_of("top_k") == "`top_k`"
    assert "my secret" not in name_of("my secret is 1234")


@given(JSON)
def test_without_escapes_the_meaning_stays(value: object) -> None:
    assert json.loads(without_escapes(json.dumps(value))) == value


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r'{"q":"\u003c|im_start|\u003E"}', '{"q":"<|im_start|>"}'),
        (r'{"q":"\u0041KIA","\u006b":1,"q":2}', '{"q":"AKIA","k":1,"q":2}'),
        (r'["\ud83e\udd84\/"]', '["🦄/"]'),
        (r'["\\u0041\n\u0022\u005c\u0000"]', r'["\\u0041\n\u0022\u005c\u0000"]'),
        (r'["\ud800"]', r'["\ud800"]'),
        (r"no json \u0041", r"no json \u0041"),
        (r'{"n":' + "1" * 5_000 + r',"q":"\u0041KIA"}', '{"n":' + "1" * 5_000 + ',"q":"AKIA"}'),
        ("[" * 5_000 + r'"\u0041KIA"' + "]" * 5_000, "[" * 5_000 + '"AKIA"' + "]" * 5_000),
        ('{"q":"line\nline \\u0041KIA"}', '{"q":"line\nline AKIA"}'),
        (r'{"q":"\u0041KIA",}', '{"q":"AKIA",}'),
        (r'{"q":"\u0041KIA', '{"q":"AKIA'),
        ('```json\n{"q":"\\u0041KIA"}\n```', '```json\n{"q":"AKIA"}\n```'),
        (r"{'q':'\u0041KIA'}", "{'q':'AKIA'}"),
    ],
)
def test_only_escapes_that_hide_a_character_go(escaped: str, plain: str) -> None:
    assert without_escapes(escaped) == plain


def test_json_is_what_some_reader_takes_for_it() -> None:
    """A line break in a string, a number of any length."""
    assert is_json('{"q":"a\nb","n":' + "9" * 10_000 + "}")
    assert not is_json('{"q":1,}')


def test_json_nested_beyond_reading_is_none() -> None:
    assert not is_json("[" * 100_000 + "]" * 100_000)
