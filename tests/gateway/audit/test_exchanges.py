"""Which exchanges are open, as the writer and a start keep track of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.exchanges import KINDS, OpenLines, track
from gateway.audit.record import Json, canonical


def test_exchange_is_open_from_its_admission_to_its_end() -> None:
    opened: dict[str, dict[str, Json]] = {}
    track(opened, {"type": "request.admit", "req": "a", "tenant": "t", "app": "x", "http": {}}, 1)
    track(opened, {"type": "request.admit", "req": "b"}, 2)
    track(opened, {"type": "response.progress", "req": "a", "stream": {"released": 3, "received": 9}}, 3)
    track(opened, {"type": "response.progress", "req": "c", "stream": {"released": 3}}, 4)
    assert opened["a"] == {
        "type": "response.orphan",
        "stage": "complete",
        "req": "a",
        "tenant": "t",
        "app": "x",
        "stream": {"released_max": 9, "progress_seq": 3, "ended_by": "crash"},
    }
    track(opened, {"type": "response.complete", "req": "a"}, 5)
    track(opened, {"type": "request.refuse", "req": "never admitted"}, 6)
    assert list(opened) == ["b"]
    track(opened, {"type": "response.orphan", "req": "b"}, 7)
    assert opened == {}


def test_what_was_released_is_the_bound_where_nothing_else_is_known() -> None:
    opened: dict[str, dict[str, Json]] = {}
    track(opened, {"type": "request.admit", "req": "a"}, 1)
    track(opened, {"type": "response.progress", "req": "a", "stream": {"released": 3}}, 2)
    assert opened["a"]["stream"] == {"released_max": 3, "progress_seq": 2, "ended_by": "crash"}
    track(opened, {"type": "response.progress", "req": "a", "stream": None}, 3)
    assert opened["a"]["stream"] == {"released_max": 0, "progress_seq": 3, "ended_by": "crash"}


def test_record_without_a_request_changes_nothing() -> None:
    opened: dict[str, dict[str, Json]] = {}
    for kind in KINDS:
        track(opened, {"type": kind, "req": 7}, 1)
    assert opened == {}


def test_review_is_open_from_its_record_to_the_one_that_closes_it() -> None:
    opened: dict[str, dict[str, Json]] = {}
    rules: list[Json] = [{"rule": "r", "queue": "q"}]
    record: dict[str, Json] = {"req": "a", "tenant": "t", "actor": {}, "stage": "progress"}
    track(opened, record | {"type": "review.open", "review": {"id": "v1", "rules": rules, "quorum": 2}}, 1)
    track(opened, record | {"type": "review.open", "review": {"id": "v2", "rules": rules}}, 2)
    track(opened, record | {"type": "review.open", "review": {"id": "v3", "rules": rules}}, 3)
    track(opened, record | {"type": "review.close", "review": {"id": "v2"}}, 4)
    track(opened, record | {"type": "review.expire", "review": {"id": "v3"}}, 5)
    assert list(opened.values()) == [
        {
            "type": "review.close",
            "stage": "complete",
            "req": "a",
            "tenant": "t",
            "review": {"id": "v1", "rules": rules, "outcome": "abandoned", "why": "crash"},
        }
    ]
    track(opened, opened["review v1"], 6)
    assert opened == {}


REQUESTS = st.sampled_from(["a", "b", 'c"', "d\\", "é", ""])
RECORDS = st.fixed_dictionaries(
    {"type": st.sampled_from([*sorted(KINDS), "review.vote", "gateway.start"]), "req": REQUESTS},
    optional={
        "review": st.fixed_dictionaries({"id": st.sampled_from(["v", "w", 7])}),
        "tenant": st.just("t"),
        "inner": st.just({"prev": "x", "req": "y", "type": "response.x"}),
        "usage": st.just({"req": "z", "type": "request.admit"}),
    },
)


@given(st.lists(RECORDS, max_size=12), st.integers(0, 12))
def test_stored_lines_say_what_the_records_say(records: list[dict[str, Json]], cut: int) -> None:
    opened: dict[str, dict[str, Json]] = {}
    before: dict[str, dict[str, Json]] = {}
    for seq, record in enumerate(records):
        if seq == cut:
            before = {request: dict(orphan) for request, orphan in opened.items()}
        track(opened, record, seq)
    lines = OpenLines(before)
    for seq, record in enumerate(records):
        if seq >= min(cut, len(records)):
            lines.take(canonical({**record, "seq": seq, "prev": "A" * 44, "v": 1}) + b"\n")
    assert cut >= len(records) or lines.finish() == opened
