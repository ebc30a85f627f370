"""A privacy officer erases and holds; others do not; a hold wins; each step is in the log with a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.client import AdminError
from tests.gateway.content.opened import CANARY, everything_in
from tests.gateway.live_admin import ODA, PAUL, VERA
from tests.gateway.live_content import LiveContent

WHY = {"reason": "asked to by letter"}


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveContent]:
    with LiveContent(tmp_path) as live:
        yield live


def left(live: LiveContent) -> set[str]:
    return {
        req
        for req in ("r1", "r2", "r3", "r4")
        if live.post("list", {"what": req})["blobs"]
    }  # fmt: skip


def refused(live: LiveContent, path: str, body: dict[str, Any], key: str = PAUL) -> str:
    with pytest.raises(AdminError) as error:
        live.post(path, body, key)
    return error.value.code


def test_a_person_is_erased(live: LiveContent, tmp_path: Path) -> None:
    token = live.tokens["alice"]
    assert live.post("erase", {"subject": token, **WHY}) == {"erased": 4}
    before, after = live.records
    assert (before["type"], before["stage"], after["stage"]) == ("content.erase", "admit", "complete")
    assert before["erase"] == after["erase"]
    assert (after["erased"], after["actor"]["sub"], after["reason"]) == (4, "paul", WHY["reason"])
    assert left(live) == {"r3", "r4"}
    assert refused(live, "person", {"tenant": "tenant-a", "name": "alice"}) == "content_not_found"
    assert CANARY.encode() not in everything_in(tmp_path)


def test_a_request_is_erased_and_again_there_is_nothing(live: LiveContent) -> None:
    assert live.post("erase", {"request": "r1", **WHY}) == {"erased": 2}
    assert left(live) == {"r2", "r3", "r4"}
    assert refused(live, "erase", {"request": "r1", **WHY}) == "content_not_found"


def test_a_hold_forbids_until_it_is_released(live: LiveContent) -> None:
    token = live.tokens["alice"]
    hold = live.post("holds", {"request": "r2", "case": "C-9", **WHY})["hold"]
    assert live.post("holds", {"request": "r2", "case": "C-9", **WHY})["hold"] == hold
    assert refused(live, "erase", {"subject": token, **WHY}) == "legal_hold"
    assert left(live) == {"r1", "r2", "r3", "r4"}
    [shown] = live.admin.client(PAUL).get("/admin/content/holds")["holds"]
    assert shown == {**hold, "reason": WHY["reason"]}
    assert refused(live, "holds/release", {"id": "nothing", **WHY}) == "hold_not_found"
    assert live.post("holds/release", {"id": hold["id"], **WHY})["hold"] == hold
    assert live.post("erase", {"subject": token, **WHY}) == {"erased": 4}
    kinds = [(record["type"], record["stage"]) for record in live.records if record["type"] != "audit.read"]
    assert kinds == [
        ("hold.set", "complete"), ("content.erase", "admit"), ("content.erase", "complete"),
        ("hold.release", "complete"), ("content.erase", "admit"), ("content.erase", "complete"),
    ]  # fmt: skip
    assert live.records[2]["refused"] == {"holds": [hold["id"]]}


def test_pruning_finds_nothing_before_its_time(live: LiveContent) -> None:
    for key in (PAUL, ODA):
        assert live.post("prune", {}, key) == {"erased": 0}
    assert left(live) == {"r1", "r2", "r3", "r4"}


def test_nobody_else_erases_or_holds(live: LiveContent) -> None:
    for path, body in (
        ("erase", {"request": "r1", **WHY}),
        ("holds", {"request": "r1", "case": "c", **WHY}),
        ("holds/release", {"id": "x", **WHY}),
    ):
        for key in (VERA, ODA):
            assert refused(live, path, body, key) == "role_missing"
    assert refused(live, "prune", {}, VERA) == "role_missing"
    assert left(live) == {"r1", "r2", "r3", "r4"}


@pytest.mark.parametrize(
    "body",
    [WHY, {"subject": "a", "request": "b", **WHY}, {"request": "r1"}, {"request": "a b", **WHY}, {"class": "default"}],
)
def test_what_is_meant_must_be_clear(live: LiveContent, body: dict[str, Any]) -> None:
    assert refused(live, "erase", body) in ("invalid_value", "unknown_field")
    assert left(live) == {"r1", "r2", "r3", "r4"}
