"""`gatehouse audit adopt`, from the refusal to the new log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.clock import SystemClock
from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles
from gateway.audit.log import AuditLog
from gateway.audit.origin import open_origin
from gateway.audit.settings import AuditSettings
from gateway.audit.start import open_writer
from gateway.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A configuration with two approvers, whose keys lie beside it."""
    text = (ROOT / "deploy" / "gatehouse.quickstart.yaml").read_text()
    file = tmp_path / "gatehouse.yaml"
    file.write_text(text.replace("../policies", str(ROOT / "policies")) + "approvers:\n")
    for name in ("alice", "bob"):
        assert main(["approver-key", str(tmp_path / f"{name}.key"), "--name", name]) == 0
        line = capsys.readouterr().out.splitlines()[1]
        file.write_text(file.read_text() + line + "\n")
    return file


def log_in(config: Path, origin: str = "gatehouse/1") -> AuditSettings:
    state = config.parent / "var"
    return AuditSettings(state / "audit", origin, state / "keys" / "audit.pem")


def write_and_set_back(settings: AuditSettings) -> None:
    origin = open_origin(settings.directory, settings.origin, settings.key_path, OsFiles(), SystemClock())
    writer = open_writer(settings, OsFiles(), SystemClock(), origin)
    kept = (settings.directory / "seg" / "0000000000000000.jsonl").read_bytes()
    writer.write([{"type": "auth.fail"}])
    writer.sign_head()
    writer.close()
    OsFiles().close(origin.lock)
    (settings.directory / "seg" / "0000000000000000.jsonl").write_bytes(kept)


async def test_a_log_that_was_set_back_is_adopted_by_two(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_and_set_back(log_in(config))
    with pytest.raises(AuditError):
        AuditLog.open(log_in(config))
    statement = tmp_path / "adopt.statement"
    options = ["--config", str(config), "--state", str(tmp_path / "var")]
    asked = ["audit", "adopt", "--new-origin", "gatehouse/2", "--reason", "restored", "--out", str(statement)]
    assert main([*asked, *options]) == 0
    assert "refused: audit_rollback: 1 records on disk" in capsys.readouterr().out
    for name in ("alice", "bob"):
        assert main(["approve", str(statement), "--key", str(tmp_path / f"{name}.key"), "--name", name]) == 0
    approvals = [f"--approve={statement}.{name}" for name in ("alice", "bob")]
    assert main(["audit", "adopt", approvals[0], *options]) == 2
    assert main(["audit", "adopt", *approvals, *options]) == 0
    out = capsys.readouterr().out
    assert "begun: gatehouse/2, which goes on from gatehouse/1" in out
    assert "origin: gatehouse/2" in out
    assert (tmp_path / "var" / "audit.adopted-gatehouse-1" / "checkpoint").exists()
    await AuditLog.open(log_in(config, "gatehouse/2")).close()
    trust = str(tmp_path / "var" / "keys" / "gatehouse-2.vkey")
    assert main(["audit", "verify", "--dir", str(tmp_path / "var" / "audit"), "--trust", trust]) == 0
    assert "continues the log gatehouse/1" in capsys.readouterr().out


async def test_what_cannot_work_changes_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await AuditLog.open(log_in(config)).close()
    options = ["--config", str(config), "--state", str(tmp_path / "var")]
    for words in ([], ["--new-origin", "a", "--reason", "b", "--out", str(tmp_path / "s")], ["--approve", str(config)]):
        assert main(["audit", "adopt", *words, *options]) == 2
    errors = capsys.readouterr().err
    assert "needs no adoption" in errors
    assert len(errors.splitlines()) == 3
    assert not (tmp_path / "s").exists()
