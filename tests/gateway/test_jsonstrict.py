"""Parsers disagree about these bodies, so each is refused with its own code."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.jsonstrict import dumps, loads, name_of

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
