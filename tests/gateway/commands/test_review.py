"""`gatehouse review` without a gateway: it says so. With one: tests/gateway/admin/test_review_routes.py."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway import cli
from tests.gateway.admin.test_client import configuration


@pytest.mark.parametrize("action", [["list"], ["show", "x"], ["approve", "x"], ["deny", "x"]])
def test_without_a_gateway_nothing_is_done(
    action: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", "gh_some-key-000000000000")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert cli.main(["review", *action, "--config", str(configuration(tmp_path, port))]) == 2
    assert "gatehouse: not_running: " in capsys.readouterr().err
