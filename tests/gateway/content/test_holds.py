"""A hold stands from its row on, once for each case, until it is released."""

from __future__ import annotations

from pathlib import Path

from gateway.content.holds import Hold, Kind, holds, mark_recorded, release_hold, set_hold
from tests.gateway.content.opened import keystore


def test_a_hold_stands_once_for_each_case_and_survives_a_restart(tmp_path: Path) -> None:
    store = keystore(tmp_path)
    first = set_hold(store, Hold(Kind.REQUEST, "r1", "case-1", {"reason": "court order"}))
    assert set_hold(store, Hold(Kind.REQUEST, "r1", "case-1", {"reason": "again"})) == first
    second = set_hold(store, Hold(Kind.REQUEST, "r1", "case-2", {}))
    mark_recorded(store, second.id)
    store.close()
    store = keystore(tmp_path)
    assert [(hold.id, hold.is_recorded) for hold in holds(store)] == [(first.id, False), (second.id, True)]
    release_hold(store, first.id)
    assert [hold.id for hold in holds(store)] == [second.id]
    assert holds(store, first.id) == []
    store.close()


def test_what_a_record_shows_has_no_text_of_a_reason() -> None:
    hold = Hold(Kind.CLASS, "default", "case-1", {"reason": "why"}, "h1")
    assert hold.as_json() == {"id": "h1", "on": "class", "value": "default", "case": "case-1"}
