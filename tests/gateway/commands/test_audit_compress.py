"""`gatehouse audit compress` as an operator runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.audit.test_compress import log_in, names


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    log_in(tmp_path)
    return ["--dir", str(tmp_path / "log"), "--trust", str(tmp_path / "keys" / "test-one-audit.vkey")]


def run(*words: str) -> int:
    return main(["audit", "compress", *words])


def test_closed_segments_are_compressed(tmp_path: Path, where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*where, "--until", "2020-01-01") == 0
    assert "0 segments compressed" in capsys.readouterr().out
    assert run(*where, "--until", "2099-01-01") == 0
    assert "3 segments compressed" in capsys.readouterr().out
    assert names(tmp_path) == ["jsonl", *["jsonl.zst"] * 3]
    assert main(["audit", "verify", *where]) == 0
    assert main(["audit", "tail", "-n", "9", "--dir", where[1]]) == 0
    assert main(["audit", "show", "day-0", "--dir", where[1]]) == 0


def test_segment_that_does_not_hold_is_named(
    tmp_path: Path, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "log" / "seg" / f"{0:016d}.jsonl"
    first.write_bytes(first.read_bytes().replace(b'"admit"', b'"amdit"', 1))
    assert run(*where, "--until", "2099-01-01") == 2
    out = capsys.readouterr().out
    assert f"seg/{first.name}: left as it is: it is not what its seal says" in out
    assert "2 segments compressed" in out


def test_wrong_usage(tmp_path: Path, where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*where, "--until", "soon") == 5
    assert "`--until`" in capsys.readouterr().err
    (tmp_path / "log" / "LOG").write_bytes(b"other")
    assert run(*where) == 2
