"""Exports as an operator types them: filters as in a search, files that appear when they are whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.audit.harness import lines_in, segments_in, small_log


def run(*words: object) -> int:
    return main(["audit", "export", *map(str, words)])


@pytest.fixture
def where(tmp_path: Path) -> list[object]:
    small_log(tmp_path)
    return ["--dir", tmp_path / "log"]


def test_everything_is_written_to_standard_output(
    tmp_path: Path, where: list[object], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("--format", "jsonl", *where) == 0
    assert capfdbinary.readouterr().out.splitlines() == lines_in(tmp_path)
    assert not (tmp_path / "audit-index.sqlite").exists(), "what needs no index makes none"


def test_filters_are_those_of_a_search(
    tmp_path: Path, where: list[object], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("response.complete", "--format", "csv", "--request", "1-2", *where) == 0
    [header, row] = csv.reader(io.StringIO(capfdbinary.readouterr().out.decode(), newline=""))
    assert dict(zip(header, row, strict=True))["type"] == "response.complete"
    assert run("--format", "cef", "--since", "1h", *where) == 0


def test_a_file_is_whole_and_private_or_not_there(tmp_path: Path, where: list[object]) -> None:
    out = tmp_path / "out.jsonl"
    assert run("--format", "ocsf", "--out", out, *where) == 0
    assert len([json.loads(line) for line in out.read_text().splitlines()]) >= 28
    assert out.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_a_file_is_not_replaced(tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.write_text("before")
    assert run("--format", "cef", "--out", out, *where) == 5
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "before"


def test_a_log_with_lines_that_are_no_records_is_told(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    with segments_in(tmp_path)[-1].open("ab") as file:
        file.write(b"not json\n")
    assert run("--format", "cef", "--out", tmp_path / "x", *where) == 2
    assert "1 lines are no records" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "parquet"], "name a file with `--out`"),
        (["--format", "cef", "--since", "yesterday"], "expected a time such as"),
        (["--format", "cef", "--score", "0.5"], "needs `--detector`"),
    ],
)
def test_questions_that_make_no_sense_are_named(
    where: list[object], words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, *where) == 5
    assert told in capsys.readouterr().err
