"""A receipt against the log it came from, and against one that was set back since."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.cli import main
from tests.gateway.audit.harness import opened, segments_in, settings_in


async def receipt_of(path: Path) -> str:
    log = AuditLog.open(settings_in(path))
    text = log.sign_receipt(await log.append({"type": "request.refuse", "req": "a"}))
    await log.close()
    return text


def check(path: Path, receipt: str) -> int:
    trust = str(path / "keys" / "test-one-audit.vkey")
    return main(["audit", "check-receipt", receipt, "--dir", str(path / "log"), "--trust", trust])


async def test_receipt_names_a_record_that_the_log_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, await receipt_of(tmp_path)) == 0
    told = "ok  test/one/audit: record 1, request.refuse, signed by the key of epoch 0; the log holds it\n"
    assert capsys.readouterr().out == told


async def test_receipt_may_be_piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = await receipt_of(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Gatehouse-Receipt: {receipt}\n"))
    assert check(tmp_path, "-") == 0


async def test_a_log_that_was_set_back_is_contradicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = await receipt_of(tmp_path)
    [segment] = segments_in(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0])
    assert check(tmp_path, receipt) == 3
    segment.write_bytes(lines[0] + lines[1].replace(b'"req":"a"', b'"req":"b"'))
    assert check(tmp_path, receipt) == 3
    out = capsys.readouterr().out
    assert "the log has no record 1" in out
    assert "record 1 of the log is another one" in out


async def test_forged_receipt_or_one_of_another_log_does_not_hold(tmp_path: Path) -> None:
    receipt = await receipt_of(tmp_path)
    other = await receipt_of(tmp_path / "other")
    for text in (receipt.replace("i=1", "i=0"), other, "nothing"):
        assert check(tmp_path, text) == 2
    opened(tmp_path).close()
