"""Drafts: the line of a record is the canonical one, whatever the record holds and whatever becomes of it."""

from __future__ import annotations

from base64 import b64encode

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.draft import Drafter, Times
from gateway.audit.errors import RecordError
from gateway.audit.record import MAX_BYTES, MAX_INT, Json, parse_line

CONSTANTS: dict[str, Json] = {"v": 1, "origin": "test/one", "boot": "b", "inst": {"id": "one", "pid": 7}}
TIMES = Times(b"1800000000000000000", b"12345")
PLACE = {"seq": 42, "prev": b64encode(bytes(range(32))).decode(), "ts": "1800000000000000000", "mono": "12345"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["\n", '"\n"', "\\n", "?"])
KEYS = st.text(st.characters(max_codepoint=127), max_size=6) | st.sampled_from([*PLACE, "a", "n", "req", "sf", "zz"])
LEAVES = st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def line_of(record: dict[str, Json]) -> bytes:
    return Drafter(CONSTANTS).draft(record).line(42, bytes(range(32)), TIMES)


@given(st.dictionaries(KEYS.filter(lambda key: key not in {*PLACE, *CONSTANTS}), VALUES, max_size=6))
def test_line_is_that_of_the_whole_record(record: dict[str, Json]) -> None:
    whole = {**record, **CONSTANTS, **PLACE}
    assert line_of(record) == rfc8785.dumps(whole)
    assert parse_line(line_of(record)) == whole


def test_what_becomes_of_a_record_later_changes_nothing() -> None:
    inner: dict[str, Json] = {"n": 1}
    record: dict[str, Json] = {"type": "request.admit", "stage": "admit", "req": "r", "tenant": "t", "inner": inner}
    draft = Drafter(CONSTANTS).draft(record)
    before = draft.line(1, bytes(32), TIMES)
    inner["n"] = record["tenant"] = record["req"] = record["stage"] = 2
    assert draft.line(1, bytes(32), TIMES) == before
    assert draft.begins
    assert draft.change is not None
    opened: dict[str, dict[str, Json]] = {}
    draft.change.apply(opened, 1)
    assert opened["r"]["tenant"] == "t"


def test_a_record_is_refused_before_it_has_a_place() -> None:
    with pytest.raises(RecordError, match="`score`"):
        Drafter(CONSTANTS).draft({"guards": [{"score": 0.5}]})  # type: ignore[dict-item]
    with pytest.raises(RecordError, match="`hole`"):
        Drafter(CONSTANTS).draft({"hole": orjson.Fragment(b'"\n"')})  # type: ignore[dict-item]


def test_what_the_place_adds_counts_as_length() -> None:
    room = MAX_BYTES - len(line_of({"s": ""}))
    assert len(line_of({"s": "x" * room})) == MAX_BYTES
    draft = Drafter(CONSTANTS).draft({"s": "x" * (room + 1)})
    with pytest.raises(RecordError, match="expected at most"):
        draft.line(42, bytes(32), TIMES)
