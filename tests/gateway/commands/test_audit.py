"""The audit commands as an operator types them."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.audit_location import AuditLocation
from gateway.commands.audit import add_audit_commands
from tests.gateway.audit.harness import FixedClock, opened, segments_in, small_log


def run(*words: str, location: AuditLocation | None = None) -> int:
    def locate(config: Path) -> AuditLocation:
        if location is None:
            raise FileNotFoundError(2, "No such file or directory", str(config))
        return location

    parser = argparse.ArgumentParser(prog="gatehouse")
    add_audit_commands(parser.add_subparsers(), locate)
    arguments = parser.parse_args(["audit", *words])
    return int(arguments.run(arguments))


@pytest.fixture
def log(tmp_path: Path) -> AuditLocation:
    small_log(tmp_path)
    return AuditLocation(tmp_path / "log", tmp_path / "keys" / "test-one-audit.vkey")


def where(log: AuditLocation) -> list[str]:
    return ["--dir", str(log.directory)]


def test_verify_proves_a_whole_log(log: AuditLocation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", *where(log), "--trust", str(log.trust)) == 0
    assert capsys.readouterr().out.startswith("ok  test/one/audit: 28 records, sizes 0 to 28, in 2 segments")


def test_verify_names_the_first_entry_that_does_not_hold(
    log: AuditLocation, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = log.directory / "seg" / "0000000000000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"released":7', b'"released":8', 1))
    assert run("verify", *where(log), "--trust", str(log.trust)) == 2
    assert capsys.readouterr().out.startswith(
        "DOES NOT HOLD  seg/0000000000000000.jsonl:4: record 3: link: expected prev "
    )
    assert run("verify", *where(log), "--trust", str(log.trust), "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["findings"][0]["seq"] == 3


def test_verify_finds_the_log_and_its_key_by_the_configuration(log: AuditLocation) -> None:
    assert run("verify", location=log) == 0
    assert run("verify") == 5


def test_verify_never_takes_trust_from_the_log(log: AuditLocation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", *where(log), location=log) == 5
    assert "needs `--trust`" in capsys.readouterr().err
    assert run("verify", *where(log), "--trust", str(log.directory / "LOG")) == 5


def test_verify_compares_with_what_the_auditor_brings(
    log: AuditLocation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust, kept = ["--trust", str(log.trust)], tmp_path / "kept"
    kept.write_bytes((log.directory / "checkpoint").read_bytes())
    assert run("verify", *where(log), *trust, "--checkpoint", str(kept)) == 0
    assert "anchored to 28 at 2027-01-15T08:00:00" in capsys.readouterr().out
    kept.write_bytes(kept.read_bytes().replace(b"\n28\n", b"\n29\n"))
    assert run("verify", *where(log), *trust, "--checkpoint", str(kept)) == 3
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("verify", *where(log), *trust, "--content", str(empty)) == 0
    capsys.readouterr()
    assert run("verify", *where(log), *trust, "--anchors", str(empty)) == 4
    assert f"{empty}/test-one-audit: anchor_missing" in capsys.readouterr().out, "what was not compared proves nothing"


BROUGHT = ["--checkpoint", "--anchors", "--witness", "--content", "--receipts", "--approver", "--tsa-cert"]


@pytest.mark.parametrize("option", BROUGHT)
def test_verify_says_what_of_it_cannot_be_read(
    log: AuditLocation, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", *where(log), "--trust", str(log.trust), option, str(tmp_path / "missing")) == 5
    assert "missing" in capsys.readouterr().err
    (tmp_path / "bad").write_bytes(b"\xff")
    assert run("verify", *where(log), "--trust", str(log.trust), option, str(tmp_path / "bad")) in (3, 5)


def test_directory_that_is_no_log_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["tail"], ["show", "1"], ["verify", "--trust", "x"]):
        assert run(*command, "--dir", str(tmp_path)) == 5
        assert "is not an audit log" in capsys.readouterr().err


def test_tail_prints_the_newest_across_segments(log: AuditLocation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tail", *where(log), "-n", "16") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16
    assert lines[-1].split() == ["2027-01-15T08:00:00.018Z", "27", "gateway.stop", "-"]
    assert lines[5].split()[1:] == ["17", "response.complete", "1-0"]
    assert run("tail", *where(log), "-n", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 27


def test_following_prints_what_is_added_across_segments_and_ends_with_ctrl_c(log: AuditLocation) -> None:
    path = log.directory.parent
    root = Path(__file__).parents[3]
    code = "import sys; from tests.gateway.commands.test_audit import run; sys.exit(run(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, "tail", *where(log), "-n", "1", "-f"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "gateway.stop" in process.stdout.readline()
        again = opened(path, clock=FixedClock(1_900_000_000 * 10**9, boot=9))
        again.writer.write([{"type": "auth.fail"}])
        assert "28  gateway.start" in process.stdout.readline()
        assert "29  auth.fail" in process.stdout.readline()
        again.close()
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_show_prints_one_record_or_all_of_a_request(log: AuditLocation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "17", *where(log)) == 0
    assert json.loads(capsys.readouterr().out)["req"] == "1-0"
    assert run("show", "0-3", *where(log), "--json") == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["type"] for record in shown] == ["request.admit", "response.progress", "response.complete"]


@pytest.mark.parametrize("what", ["99", "nobody", '"', "0-"])
def test_show_of_nothing_says_so(log: AuditLocation, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", what, *where(log)) == 2
    assert "no record has" in capsys.readouterr().err


def test_unreadable_line_is_shown_as_such_and_not_quoted(
    log: AuditLocation, capsys: pytest.CaptureFixture[str]
) -> None:
    with segments_in(log.directory.parent)[-1].open("ab") as file:
        file.write(b"secret text\n")
    assert run("tail", *where(log), "-n", "1") == 0
    out = capsys.readouterr().out
    assert "audit verify" in out
    assert "secret" not in out


@pytest.mark.parametrize("count", ["0", "-1", "x", "²"])
def test_count_that_is_none_is_wrong_usage(count: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run("tail", "-n", count)
    assert caught.value.code == 2
