"""A day looked at and signed off, and a search put to the gateway, on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from gateway.admin.audit_routes import audit_routes
from gateway.admin.desk import Desk
from gateway.admin.log_reader import LogReader
from gateway.audit.segments import segment_path
from gateway.cli import main
from tests.gateway.admin.test_audit_routes import lines
from tests.gateway.admin.test_client import configuration
from tests.gateway.live_admin import VERA, LiveAdmin


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveAdmin]:
    (tmp_path / "log" / "seg").mkdir(parents=True)
    segment_path(tmp_path / "log", 0).write_bytes(b"".join(line + b"\n" for line in lines()))
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", VERA)

    def routes(desk: Desk) -> list[Route]:
        return audit_routes(desk, LogReader(tmp_path / "log"))

    with LiveAdmin(routes) as live:
        configuration(tmp_path, live.port)
        yield live


def test_a_day_is_shown_and_signed_off(tmp_path: Path, live: LiveAdmin, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["audit", "review", "--day", "2024-10-04", "--config", str(tmp_path / "gatehouse.yaml")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "2024-10-04: 4 records" in out
    assert "2  c1 (code)" in out
    assert [record["type"] for record in live.records] == ["audit.read"]
    assert main([*command, "--note", "nothing unusual"]) == 0
    assert "signed off as record" in capsys.readouterr().out
    assert live.records[-1]["reviewed"]["note"] == "nothing unusual"
    assert main([*command, "--note", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signed_off"]["records"] == 4


def test_a_refusal_is_status_2(tmp_path: Path, live: LiveAdmin, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["audit", "review", "--day", "2999-01-01", "--config", str(tmp_path / "gatehouse.yaml")]
    assert main(command) == 2
    assert "day_not_over" in capsys.readouterr().err


def test_a_search_through_the_gateway_is_recorded(
    tmp_path: Path, live: LiveAdmin, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", "search", "clinic", "--gateway", "--config", str(tmp_path / "gatehouse.yaml")]
    assert main([*command, "--type", "request.refuse"]) == 0
    out = capsys.readouterr().out
    assert "request.refuse" in out
    assert "(that you asked is record" in out
    assert main([*command, "--tenant", "nobody", "--json"]) == 1
    assert [record["type"] for record in live.records] == ["audit.read", "audit.read"]
    assert main([*command, "--since", "yesterday"]) == 5
    assert main([*command, "--key-file", str(tmp_path / "gatehouse.yaml")]) == 2, "as every command that asks a gateway"
    assert main(["audit", "search", "--gateway", "--config", str(tmp_path / "none.yaml")]) == 5
