"""What of a record can be searched: names, codes and ids of any type of record; no digests."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.index_fields import COLUMNS, day_of, indexed, score_word, tallied, tokens

BASE = {"seq": 3, "ts": "1800000000000000000", "v": 1, "origin": "site/one", "prev": "A" * 44, "boot": "b" * 36}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
known = st.sampled_from(("guards", "decision", "actor", "target", "rows", "err", "policy", "content", "type", "ts"))


def words(**fields: Any) -> dict[str, str]:
    found = indexed(BASE | fields)
    assert found is not None
    return dict(zip(COLUMNS, found.words(), strict=True))


def test_words_are_names_and_codes_over_the_threshold() -> None:
    guard = {
        "name": "harm",
        "use": "starter_hazard",
        "threshold_ppm": 500_000,
        "weights_digest": "sha256:00",
        "rows": [{"cats": [["S1", 499_999], ["S9", 500_000]], "score_ppm": 987_654}, {"error": "timeout"}],
    }
    found = words(
        type="request.admit",
        tenant="clinic",
        guards=[guard],
        decision={"rules": ["no-weapons"], "errors": [{"detector": "inject", "kind": "overload"}]},
    )
    assert set(found["other"].split()) == {"harm", "starter_hazard", "S9", "timeout", "inject", "overload"}
    assert (found["tenant"], found["rule"], found["score"]) == ("clinic", "no-weapons", "harm:098")


def test_a_type_that_nobody_thought_of_is_found_by_what_it_names() -> None:
    """Records of later versions: ids and names, however deep; digests and hashes are not words."""
    found = words(
        type="content.erase",
        erase={"refs": ["blob-1", "blob-2"], "case": "gdpr-17"},
        approval={"by": ["alice", "bob"], "sha256": "c0ffee", "sig": "beef", "ct_sha256": "dead", "key_digest": "f00d"},
        note="x" * 101,
    )
    assert found["other"].split() == ["blob-1", "blob-2", "gdpr-17", "alice", "bob"]
    assert found["type"] == "content.erase"


def test_a_failure_is_found_by_its_code() -> None:
    assert words(type="audit.fail", err={"code": "head_late", "where": "audit"})["code"] == "head_late"


@given(st.dictionaries(known | st.text(max_size=5), values, max_size=6))
def test_a_record_of_any_shape_is_indexed(record: dict[str, Any]) -> None:
    found = indexed(record | {"seq": 1})
    assert found is not None
    assert len(found.words()) == len(COLUMNS)
    assert all(isinstance(value, str) for _, value in tallied(found))
    assert len(day_of(found.ts)) == 10


def test_a_line_without_a_number_is_no_record() -> None:
    assert [indexed({"seq": seq}) for seq in (None, -1, "1", True, 2**53)] == [None] * 5


@given(st.text(min_size=1, max_size=12))
def test_the_tokenizer_parts_at_the_same_characters_as_we_do(text: str) -> None:
    """A word of ours is one word of the text index: otherwise a search for it would be an error there."""
    found = tokens(text)
    if "\0" in text or any(0xD800 <= ord(char) < 0xE000 for char in text):
        return
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute("CREATE VIRTUAL TABLE t USING fts5(a, content='', tokenize=\"ascii tokenchars '-_/.:@'\")")
        index.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
        index.execute("INSERT INTO t(rowid, a) VALUES (1, ?)", (text,))
        rows = index.execute("SELECT term FROM v ORDER BY offset").fetchall()
    lower = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
    assert [term for (term,) in rows] == [word.translate(lower) for word in found]


def test_a_detector_of_several_words_has_one_word_for_each_score() -> None:
    assert tokens(score_word("a b=c", 7)) == ["a_b_c:007"]
