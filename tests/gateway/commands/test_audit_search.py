"""Search and counts, as an operator types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.audit.harness import lines_in, small_log


def run(*words: object) -> int:
    return main(["audit", *map(str, words)])


@pytest.fixture
def where(tmp_path: Path) -> list[object]:
    small_log(tmp_path)
    return ["--dir", tmp_path / "log"]


def test_search_shows_lines_of_the_log(tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("search", *where, "--request", "1-2", "--json") == 0
    shown = capsys.readouterr().out.encode().splitlines()
    assert len(shown) == 3
    assert set(shown) <= set(lines_in(tmp_path))
    assert run("search", *where, "response.complete", "-n", "2") == 0
    out = capsys.readouterr().out
    assert out.count("response.complete") == 2
    assert "(6 older records match as well" in out


def test_a_search_without_a_result_says_so_by_its_status(
    where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("search", *where, "nothing-of-this-name") == 1
    assert capsys.readouterr().out == ""


def test_stats_count(where: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", *where, "--json") == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["records"] == 28
    assert counted["counts"]["request.admit"] == 8
    assert run("stats", *where, "--by", "day", "--request", "0-1") == 0
    assert "3  records" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "--since", "yesterday"], "expected a time such as"),
        (["search", "--score", "0.5"], "needs `--detector`"),
        (["search", "--score", "7", "--detector", "harm"], "from 0 to 1"),
        (["search", "-n", "0"], "positive number"),
    ],
)
def test_questions_that_make_no_sense_are_named(
    where: list[object], words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, *where) == 5
    assert told in capsys.readouterr().err


def test_a_damaged_index_is_named_and_not_overwritten(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit-index.sqlite").write_bytes(b"not a database" * 100)
    assert run("search", *where, "x") == 5
    assert "audit-index.sqlite" in capsys.readouterr().err
    assert run("search", *where, "request.admit", "--index", tmp_path / "fresh.sqlite") == 0


def test_stats_count_days_apart(where: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", *where, "--by", "type", "--daily", "--json") == 0
    [(day, counts)] = json.loads(capsys.readouterr().out)["days"].items()
    assert day == "2027-01-15"
    assert counts["request.admit"] == 8
    assert run("stats", *where, "--by", "type", "--daily") == 0
    assert "2027-01-15           8  request.admit" in capsys.readouterr().out


def test_the_index_can_be_built_and_rebuilt(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("index", *where) == 0
    assert "28 records" in capsys.readouterr().out
    (tmp_path / "audit-index.sqlite").write_bytes(b"not a database" * 100)
    assert run("index", "--rebuild", *where) == 0
    assert "28 records" in capsys.readouterr().out
