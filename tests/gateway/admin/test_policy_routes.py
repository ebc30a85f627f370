"""Who may change the policy in force, and what a plain file's gateway says to bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.client import AdminError
from gateway.admin.policy_routes import policy_routes
from gateway.guard_settings import shipped
from gateway.metrics import Metrics
from gateway.policy_builder import PolicyBuilder
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import FileSource
from gateway.records import Records
from tests.gateway.bundles.making import POLICY
from tests.gateway.live_admin import ODA, PAUL, VERA, LiveAdmin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_bytes(POLICY)
    return tmp_path / "policy.yaml"


@pytest.fixture
def live(file: Path) -> Iterator[LiveAdmin]:
    made: list[PolicyInForce] = []

    def load(records: Records) -> None:
        made.append(PolicyInForce(FileSource(file), PolicyBuilder(shipped(), {}), records, Metrics()))
        asyncio.run(made[0].load_first())

    with LiveAdmin(lambda desk: policy_routes(desk, made[0]), before=load) as live:
        yield live


def refused(live: LiveAdmin, key: str, path: str, body: dict[str, Any]) -> str:
    with pytest.raises(AdminError) as error:
        live.client(key).post(path, body)
    return error.value.code


def test_an_auditor_sees_the_policy_and_cannot_change_it(live: LiveAdmin) -> None:
    said = live.client(VERA).get("/admin/policy")
    assert (said["policy"]["name"], said["history"]) == ("house", [])
    assert [record["type"] for record in live.records] == ["policy.load", "audit.read"]
    for path in ("reload", "activate", "rollback"):
        assert refused(live, VERA, f"/admin/policy/{path}", {}) == "role_missing"
        assert refused(live, PAUL, f"/admin/policy/{path}", {}) == "role_missing"


def test_a_reload_says_what_came_of_it_and_who_asked(live: LiveAdmin, file: Path) -> None:
    file.write_bytes(POLICY.replace(b"2026.11.1", b"2026.11.2"))
    assert live.client(ODA).post("/admin/policy/reload", {})["policy"]["version"] == "2026.11.2"
    assert (live.records[-1]["type"], live.records[-1]["actor"]["sub"]) == ("policy.load", "oda")
    file.write_bytes(b"gatehouse: policy/v1\n")
    assert refused(live, ODA, "/admin/policy/reload", {}) == "policy_rejected"
    assert (live.records[-1]["type"], live.records[-1]["actor"]["sub"]) == ("policy.reject", "oda")
    assert live.client(VERA).get("/admin/policy")["policy"]["version"] == "2026.11.2"


def test_a_gateway_with_a_plain_file_takes_no_bundles(live: LiveAdmin) -> None:
    assert refused(live, ODA, "/admin/policy/activate", {"bundle": "QUJD"}) == "policy_not_signed"
    assert refused(live, ODA, "/admin/policy/rollback", {}) == "policy_not_signed"
    assert refused(live, ODA, "/admin/policy/activate", {"bundle": "not base64!"}) == "invalid_value"
    assert refused(live, ODA, "/admin/policy/activate", {"bundel": "QUJD"}) == "unknown_field"


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({}, "invalid_value"),
        ({"share": 0}, "invalid_value"),
        ({"share": 1.1}, "invalid_value"),
        ({"share": "10%"}, "invalid_value"),
        ({"share": 0.1, "by": "person"}, "invalid_value"),
        ({"share": 0.1, "hours": 0}, "invalid_value"),
        ({"share": 0.1, "hours": 721}, "invalid_value"),
        ({"share": 0.1, "max_flips": -1}, "invalid_value"),
        ({"share": 0.1, "max_error": 0}, "unknown_field"),
        ({"share": 0.1, "by": "exchange", "hours": 1, "max_flips": 0, "max_errors": 0.5}, "policy_not_signed"),
    ],
)
def test_a_trial_is_read_before_anything_is_done(live: LiveAdmin, terms: dict[str, Any], code: str) -> None:
    assert refused(live, ODA, "/admin/policy/activate", {"bundle": "QUJD", "trial": terms}) == code


def test_a_trial_that_is_not_there_cannot_end(live: LiveAdmin) -> None:
    assert refused(live, ODA, "/admin/policy/rollback", {"trial": True}) == "policy_not_signed"
    assert refused(live, VERA, "/admin/policy/rollback", {"trial": True}) == "role_missing"
    assert refused(live, ODA, "/admin/policy/rollback", {"trial": "yes"}) == "invalid_value"
