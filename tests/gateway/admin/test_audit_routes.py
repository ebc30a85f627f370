"""Reading through the gateway is recorded before the answer; a day is signed off as it was seen, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from gateway.admin.audit_routes import audit_routes
from gateway.admin.client import AdminError
from gateway.admin.desk import Desk
from gateway.admin.log_reader import LogReader
from gateway.audit.record import canonical
from gateway.audit.segments import segment_path
from tests.doubles import MemoryLog
from tests.gateway.live_admin import ODA, VERA, LiveAdmin

DAY = 86_400 * 10**9
MONDAY = 20_000 * DAY
"""2024-10-04."""


def lines() -> list[bytes]:
    kinds = ["request.admit", "response.complete", "request.refuse", "auth.fail"]
    return [
        canonical(
            {"type": kind, "seq": seq, "ts": str(MONDAY + seq), "tenant": "clinic", "err": {"code": f"c{seq % 2}"}}
        )
        for seq, kind in enumerate(kinds)
    ]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveAdmin]:
    (tmp_path / "log" / "seg").mkdir(parents=True)
    segment_path(tmp_path / "log", 0).write_bytes(b"".join(line + b"\n" for line in lines()))

    def routes(desk: Desk) -> list[Route]:
        return audit_routes(desk, LogReader(tmp_path / "log"))

    with LiveAdmin(routes) as live:
        yield live


def test_a_search_answers_with_stored_lines_and_is_a_record(live: LiveAdmin) -> None:
    said = live.client(VERA).get("/admin/audit/search?type=request.refuse&word=clinic&n=5")
    assert [line.encode() for line in said["lines"]] == [lines()[2]]
    [record] = live.records
    assert (record["type"], record["actor"]["sub"], record["found"]) == ("audit.read", "vera", 1)
    assert record["query"] == {"filters": {"type": "request.refuse"}, "words": ["clinic"], "most": 5}


def test_without_a_record_there_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "log" / "seg").mkdir(parents=True)
    segment_path(tmp_path / "log", 0).write_bytes(b"".join(line + b"\n" for line in lines()))
    with LiveAdmin(lambda desk: audit_routes(desk, LogReader(tmp_path / "log")), log=MemoryLog(fail_from=0)) as live:
        with pytest.raises(AdminError) as error:
            live.client(VERA).get("/admin/audit/search?word=clinic")
        assert error.value.code == "audit_unavailable"


@pytest.mark.parametrize("path", ["search?word=x", "day?day=2024-10-04"])
def test_reading_needs_the_role(live: LiveAdmin, path: str) -> None:
    with pytest.raises(AdminError) as error:
        live.client(ODA).get(f"/admin/audit/{path}")
    assert error.value.code == "role_missing"
    assert httpx.get(f"{live.url}/admin/audit/{path}", trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("word=two+words", "invalid_value"),
        ("word=--index%3D/etc/x", "invalid_value"),
        ("tenant=a&tenant=b", "invalid_value"),
        ("tenant=%0A", "invalid_value"),
        ("index=/etc/passwd", "unknown_field"),
        ("n=0", "invalid_value"),
        ("n=201", "invalid_value"),
        ("since=yesterday", "invalid_value"),
        ("until=9999-12-31", "invalid_value"),
        ("score=0.5", "invalid_value"),
        ("detector=harm&score=1.5", "invalid_value"),
        ("detector=harm&score=nan", "invalid_value"),
        ("detector=--", "invalid_value"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(live: LiveAdmin, query: str, code: str) -> None:
    with pytest.raises(AdminError) as error:
        live.client(VERA).get(f"/admin/audit/search?{query}")
    assert error.value.code == code
    assert live.records == []


def test_options_of_the_command_cannot_be_smuggled_in(live: LiveAdmin) -> None:
    """A word that begins with a dash is a word, and a value stays with its option."""
    assert live.client(VERA).get("/admin/audit/search?word=--follow")["lines"] == []
    assert live.client(VERA).get("/admin/audit/search?tenant=--config")["lines"] == []


def test_a_day_is_summed_up_and_signed_off(live: LiveAdmin) -> None:
    client = live.client(VERA)
    day = client.get("/admin/audit/day?day=2024-10-04")
    assert (day["records"], day["by_type"]["request.refuse"], day["by_code"]) == (4, 1, {"c0": 2, "c1": 2})
    client.post("/admin/audit/review", {"day": "2024-10-04", "note": "looked at all four", "records": 4})
    read, review = live.records
    assert (read["type"], read["query"], read["found"]) == ("audit.read", {"day": "2024-10-04"}, 4)
    assert (review["type"], review["actor"]["sub"]) == ("log.review", "vera")
    assert review["reviewed"]["note"] == "looked at all four"
    assert review["reviewed"]["records"] == 4


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"day": "2024-10-04", "note": "x", "records": 3}, "day_changed"),
        ({"day": "2999-01-01", "note": "x", "records": 0}, "day_not_over"),
        ({"day": "yesterday", "note": "x", "records": 0}, "invalid_value"),
        ({"day": "0001-01-01", "note": "x", "records": 0}, "invalid_value"),
        ({"day": "2024-10-04", "note": "", "records": 4}, "invalid_value"),
        ({"day": "2024-10-04", "note": "a\nb", "records": 4}, "invalid_value"),
        ({"day": "2024-10-04", "note": "x" * 501, "records": 4}, "invalid_value"),
        ({"day": "2024-10-04", "note": "x"}, "invalid_value"),
        ({"day": "2024-10-04", "note": "x", "records": 4, "by": "someone else"}, "unknown_field"),
    ],
)
def test_a_sign_off_of_something_else_is_refused(live: LiveAdmin, body: dict[str, Any], code: str) -> None:
    with pytest.raises(AdminError) as error:
        live.client(VERA).post("/admin/audit/review", body)
    assert error.value.code == code
    assert [record for record in live.records if record["type"] == "log.review"] == []
