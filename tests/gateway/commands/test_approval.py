"""How an approver makes a key, and approves."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.approval import check
from gateway.audit.note import parse_vkey
from gateway.cli import main

STATEMENT = "gatehouse-adopt/v1\nold a\nnew b\n"


def test_two_people_make_keys_and_approve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statement = tmp_path / "adopt.statement"
    statement.write_text(STATEMENT)
    approvers = {}
    for name in ("alice", "bob"):
        key = str(tmp_path / f"{name}.key")
        assert main(["approver-key", key, "--name", name]) == 0
        line = capsys.readouterr().out.splitlines()[1]
        approvers[name] = parse_vkey(line.partition(": ")[2])
        assert main(["approve", str(statement), "--key", key, "--name", name]) == 0
        assert capsys.readouterr().out.startswith(STATEMENT), "what is signed is shown"
    notes = [(tmp_path / f"adopt.statement.{name}").read_bytes() for name in approvers]
    assert check(STATEMENT, notes, approvers) == ("alice", "bob")
    assert (tmp_path / "alice.key").stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_over_and_nothing_strange_is_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, statement = tmp_path / "a.key", tmp_path / "s"
    assert main(["approver-key", str(key), "--name", "a"]) == 0
    assert main(["approver-key", str(key), "--name", "a"]) == 2
    for content in (b"anything\n", b"\xff"):
        statement.write_bytes(content)
        assert main(["approve", str(statement), "--key", str(key), "--name", "a"]) == 2
    statement.write_text(STATEMENT)
    assert main(["approve", str(statement), "--key", str(tmp_path / "none"), "--name", "a"]) == 2
    assert main(["approve", str(statement), "--key", str(key), "--name", "a", "--out", str(key)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 5
    with pytest.raises(SystemExit):
        main(["approver-key", str(tmp_path / "b.key"), "--name", "a b"])
