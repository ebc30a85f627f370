"""A record of any shape can be looked at, and nothing that is not there is made up."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.export.view import Severity, View, printable
from tests.gateway.audit.export.golden_files import VIEWS

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=15,
)
known = st.sampled_from(
    ("guards", "decision", "actor", "target", "rows", "err", "policy", "ts", "seq", "usage", "http")
)


def properties(view: View) -> dict[str, Any]:
    return {name: getattr(view, name) for name in dir(View) if isinstance(getattr(View, name), property)} | {
        "scores": view.scores, "rules": view.rules, "flags": view.flags
    }  # fmt: skip


@given(st.dictionaries(known | st.text(max_size=4), anything, max_size=6))
def test_any_record_can_be_viewed(record: dict[str, Any]) -> None:
    found = properties(View(record, b"x"))
    assert isinstance(found["severity"], Severity)
    assert all(isinstance(found[name], str) for name in ("time", "who", "model", "code", "action", "type"))


def test_severity_grows_with_what_happened() -> None:
    by_type = {view.type: view.severity for view in VIEWS}
    assert by_type["request.refuse"] == by_type["audit.fail"] == Severity.HIGH
    assert by_type["response.complete"] == Severity.MEDIUM
    assert by_type["auth.fail"] == by_type["content.erase"] == Severity.LOW
    assert by_type["request.admit"] == by_type["of.a.later.version"] == Severity.INFORMATION


def test_what_guards_said_is_kept_apart_by_part() -> None:
    answer = next(view for view in VIEWS if view.type == "response.complete")
    harm, inject = answer.scores
    assert (harm.score_ppm, harm.is_flagged, harm.categories) == (910_000, True, (("S9", 910_000), ("S2", 1200)))
    assert (inject.score_ppm, inject.is_flagged, inject.error) == (None, False, "timeout")
    assert answer.highest == {"harm": 910_000}


@given(st.text())
def test_nothing_unprintable_is_left(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
