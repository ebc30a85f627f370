"""How far the anchors have come, for people and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from gateway.audit.anchors.history import Anchored, AnchorHistory
from gateway.cli import main
from tests.gateway.audit.harness import small_log


def run(path: Path, *words: str) -> int:
    config = path / "gatehouse.yaml"
    config.write_text(
        "gatehouse: config/v1\nkeys: [{id: k, tenant: t, key: gatehouse-demo-key}]\npolicy: policy.yaml\n"
        f"engine: {{starter: true}}\nstate: {path / 'state'}\norigin: test/one/audit\n"
    )
    (path / "policy.yaml").write_text("")
    (path / "log").rename(path / "state" / "audit") if (path / "log").exists() else None
    return main(["audit", "anchor", "--config", str(config), *words])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    small_log(tmp_path, exchanges=2, starts=1)
    (tmp_path / "state").mkdir()
    return tmp_path


def test_a_log_without_anchors(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(path) == 0
    assert capsys.readouterr().out == "no anchor has had a success; the log has a signed head over 8 records\n"
    assert run(path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"size": 8, "anchors": []}


@pytest.mark.parametrize(("ago_s", "told"), [(5, "5 s ago"), (600, "10 min ago"), (100_000, "27 h ago")])
def test_size_and_age_of_each(path: Path, capsys: pytest.CaptureFixture[str], ago_s: int, told: str) -> None:
    history, ts_ns = AnchorHistory(path / "log"), time.time_ns() - ago_s * 10**9
    history.append(Anchored("worm", "file", 6, "", ts_ns).line({}))
    history.append(Anchored("site-2", "witness", 8, "", ts_ns).line({}))
    assert run(path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["site-2", "witness", "8", "0"]
    assert lines[2].split()[:4] == ["worm", "file", "6", "2"]
    assert lines[2].endswith(f"({told})")
    assert run(path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["behind"]) for row in found["anchors"]] == [("site-2", 0), ("worm", 2)]


def test_an_anchor_that_has_more_than_the_log_is_pointed_at(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    AnchorHistory(path / "log").append(Anchored("worm", "file", 99, "", time.time_ns()).line({}))
    assert run(path) == 0
    assert "the log is SMALLER than what was anchored" in capsys.readouterr().out


def test_no_log_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "anchor", "--dir", str(tmp_path)]) == 5
    assert "not an audit log" in capsys.readouterr().err
