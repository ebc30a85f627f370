"""`gatehouse audit keys`, as two people on two machines type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.cli import main
from gateway.config import load_config
from gateway.front import audit_settings

QUICKSTART = Path(__file__).parents[3] / "deploy" / "gatehouse.quickstart.yaml"


def keys(*words: str) -> int:
    return main(["audit", "keys", *words])


def at(state: Path) -> tuple[str, ...]:
    return ("--config", str(QUICKSTART), "--state", str(state))


async def test_a_log_without_its_key_on_the_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, keeper = tmp_path / "state", tmp_path / "safe"
    asked, signed = str(tmp_path / "asked"), str(tmp_path / "signed")
    assert keys("request", "--epochs", "3", "--out", asked, *at(state)) == 0
    assert keys("sign", asked, "--log-key", str(keeper / "log.pem"), "--create", "--out", signed) == 0
    assert keys("install", signed, *at(state)) == 0
    assert "installed: 3" in capsys.readouterr().out
    await AuditLog.open(audit_settings(load_config(QUICKSTART, state))).close()
    assert keys("list", *at(state)) == 0
    listed = capsys.readouterr().out
    assert "epoch    0" in listed
    assert "log key: kept elsewhere" in listed
    assert not (state / "keys" / "audit.pem").exists()


async def test_a_key_that_is_on_the_machine_needs_no_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await AuditLog.open(audit_settings(load_config(QUICKSTART, tmp_path))).close()
    assert keys("request", "--out", str(tmp_path / "asked"), *at(tmp_path)) == 2
    assert "audit_key_unsafe: the log key" in capsys.readouterr().err
    assert keys("list", *at(tmp_path)) == 0
    assert "log key: on this machine" in capsys.readouterr().out


def test_what_cannot_work_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys("list", *at(tmp_path)) == 2
    assert keys("install", str(tmp_path / "missing"), *at(tmp_path)) == 2
    assert keys("sign", str(QUICKSTART), "--log-key", str(tmp_path / "k")) == 2
    assert keys("list", "--config", str(tmp_path / "none.yaml")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("gatehouse audit: ") for line in lines)
    with pytest.raises(SystemExit):
        keys("request", "--epochs", "0", *at(tmp_path))


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "asked").write_text("mine")
    assert keys("request", "--out", str(tmp_path / "asked"), *at(tmp_path / "state")) == 2
    assert (tmp_path / "asked").read_text() == "mine"
