"""A record handed to an auditor with its proof, as an operator types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.policy_copies import digest_of, keep_copy
from tests.gateway.audit.harness import exchange, lines_in, opened, small_log

SCRIPT = Path(__file__).parents[3] / "docs" / "verify_proof.py"


def run(*words: object) -> int:
    return main(["audit", *map(str, words)])


@pytest.fixture
def where(tmp_path: Path) -> list[object]:
    small_log(tmp_path)
    return ["--dir", tmp_path / "log", "--trust", tmp_path / "keys" / "test-one-audit.vkey"]


def test_a_request_is_proved_record_by_record_with_and_without_gatehouse(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    out, trust = tmp_path / "out", where[3]
    assert run("prove", "0-1", *where, "--out", out) == 0
    records = sorted(out.glob("*.json"))
    assert len(records) == 3
    for record in records:
        assert record.read_bytes() in lines_in(tmp_path)
        assert run("check-proof", record, "--trust", trust) == 0
        proof = record.with_suffix(".tlog-proof")
        done = subprocess.run([sys.executable, SCRIPT, record, proof, str(trust)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"ok  record {record.stem.removeprefix('record-')} of test/one/audit")
    assert "the record is number" in capsys.readouterr().out


def test_a_changed_record_is_not_proved(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("prove", 4, *where, "--out", tmp_path) == 0
    record = tmp_path / "record-4.json"
    record.write_bytes(record.read_bytes().replace(b"0-1", b"9-9"))
    assert run("check-proof", record, "--trust", where[3]) == 2
    assert "not_proved" in capsys.readouterr().err


@pytest.mark.parametrize(("what", "status", "told"), [("77", 2, "not_signed_yet"), ("nobody", 2, "no_such_record")])
def test_what_is_not_there_is_not_proved(
    tmp_path: Path, where: list[object], what: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("prove", what, *where, "--out", tmp_path / "out") == status
    assert told in capsys.readouterr().err


def test_trust_is_never_taken_from_the_log(where: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prove", 1, *where[:2]) == 5
    assert "trust is never taken from the log" in capsys.readouterr().err


def test_files_that_are_not_there_or_not_proofs_are_named(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record-1.json"
    assert run("check-proof", record, "--trust", where[3]) == 5
    assert "record-1.tlog-proof" in capsys.readouterr().err
    record.with_suffix(".tlog-proof").write_bytes(b"\xff")
    assert run("check-proof", record, "--trust", where[3]) == 2
    assert "proof_malformed" in capsys.readouterr().err


def test_the_bundle_holds_the_policy_that_decided_and_says_how_to_check_it(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    source, gone = b"gatehouse: policy/v1\n", digest_of(b"another")
    keep_copy(tmp_path / "policies", source, digest_of(source))
    log = opened(tmp_path)
    cited = [{"policy": {"src_digest": digest}, "req": "r"} for digest in (digest_of(source), gone)]
    log.writer.write([record | more for record, more in zip(exchange("r"), [*cited, {}], strict=True)])
    log.writer.sign_head()
    log.close()
    assert run("prove", "r", *where, "--out", tmp_path / "out") == 0
    policies = list((tmp_path / "out/policies").iterdir())
    assert [file.read_bytes() for file in policies] == [source]
    readme = (tmp_path / "out/README.txt").read_text()
    assert f"no copy was found: {gone}" in readme
    assert "python verify_proof.py record-N.json record-N.tlog-proof test-one-audit.vkey" in readme
    assert "`gatehouse audit tiles` makes this quick" in capsys.readouterr().err


def test_with_tiles_nothing_is_said_of_reading_the_log(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tiles", *where) == 0
    assert run("prove", 5, *where, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
