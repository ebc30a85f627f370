"""`gatehouse whoami`, against an admin listener."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway import cli
from tests.gateway.admin.test_client import configuration
from tests.gateway.live_admin import PAUL, LiveAdmin


def test_it_names_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", PAUL)
    with LiveAdmin() as live:
        config = str(configuration(tmp_path, live.port))
        assert cli.main(["whoami", "--config", config]) == 0
        assert cli.main(["whoami", "--config", config, "--json"]) == 0
    plain, as_json = capsys.readouterr().out.splitlines()
    assert plain == "paul: privacy_officer"
    assert json.loads(as_json) == {"name": "paul", "roles": ["privacy_officer"]}


def test_a_wrong_key_is_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", "gh_wrong-key-0000000000")
    with LiveAdmin() as live:
        assert cli.main(["whoami", "--config", str(configuration(tmp_path, live.port))]) == 2
