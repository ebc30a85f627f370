"""A scores file gives the same run again, holds no text, and is refused when something about it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluate.errors import EvaluationError, LinesRefused
from gateway.evaluate.run import Judged, Run
from gateway.evaluate.scores import narrowed, read_scores, write_scores
from tests.gateway.evaluate.made import row, run, subject

CATEGORIES = MappingProxyType({"S1": 3, "S2": 999})
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"]).filter(str.isprintable), max_size=9)
JUDGED = st.builds(
    Judged,
    st.integers(0, 1_000_000),
    categories=st.sampled_from([CATEGORIES, MappingProxyType({})]),
    windows=st.integers(0, 9),
    view=st.sampled_from(["", "raw", "unspaced"]),
    us=st.integers(0, 10**9),
    alone=st.booleans(),
) | st.builds(Judged, st.none(), st.sampled_from(["timeout", "overload"]), us=st.integers(0, 9), alone=st.booleans())
ROWS = st.lists(
    st.builds(
        lambda line, label, judged, language, source: row(line, label, judged, language=language, source=source),
        st.integers(1, 10**6),
        st.booleans(),
        JUDGED,
        NAMES,
        NAMES,
    ),
    max_size=5,
)


def example() -> Run:
    two = {"inject": Judged(7, categories=CATEGORIES, windows=2, view="raw"), "creds": Judged(None, "timeout")}
    rows = [row(1, True, two, categories=("S1",), role="tool"), row(2, False, two, source="mine")]
    rule = subject("creds", use="secrets", weights="", is_model=False, threshold_ppm=1_000_000)
    full = subject(category_ppm=MappingProxyType({"S1": 5}), rows=1, wall_us=9, concurrency=1, options=("views",))
    return run(rows, full, rule)


@given(rows=ROWS)
def test_what_is_written_is_read(rows: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("scores") / "scores.jsonl"
    write_scores(run(rows), file)
    assert read_scores(file) == run(rows)


def test_all_of_a_run_survives(tmp_path: Path) -> None:
    write_scores(example(), tmp_path / "s")
    assert read_scores(tmp_path / "s") == example()


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    write_scores(example(), tmp_path / "s")
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0


def refused(tmp_path: Path, lines: list[Any]) -> tuple[tuple[int, str], ...]:
    file = tmp_path / "bad.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(LinesRefused) as caught:
        read_scores(file)
    return caught.value.problems


def lines_of(found: Run, tmp_path: Path) -> list[Any]:
    write_scores(found, tmp_path / "good.jsonl")
    return [json.loads(line) for line in (tmp_path / "good.jsonl").read_text().splitlines()]


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """Half a file would be a report on half a set."""
    assert refused(tmp_path, lines_of(example(), tmp_path)[:-1]) == ((1, "the file has 1 rows, its first line says 2"),)
    (tmp_path / "empty").touch()
    with pytest.raises(LinesRefused, match="the file is empty"):
        read_scores(tmp_path / "empty")


def test_a_set_is_not_taken_for_scores(tmp_path: Path) -> None:
    assert refused(tmp_path, [{"text": "a", "label": 1}])[0][1].startswith(
        "the first line is not that of a scores file"
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": 2}, "`label` is a number, expected true, false, 0 or 1"),
        ({"role": "robot"}, "`role` is not one of user, assistant, tool, system"),
        ({"scores": {}}, "`scores` has not one entry for each detector of the first line"),
        ({"scores": {"inject": {"us": 1, "alone": False}, "creds": {}}}, "`ppm` is missing, expected a whole number"),
        ({"source": "\x1b"}, "`source` is a string, expected printable text"),
        (
            {"scores": {"inject": {"error": "", "us": 1, "alone": 0}, "creds": {}}},
            "expected either a score or an error",
        ),
    ],
)
def test_a_row_that_was_tampered_with_is_refused_at_its_line(tmp_path: Path, change: Any, problem: str) -> None:
    lines = lines_of(example(), tmp_path)
    lines[2] |= change
    ((line, told),) = refused(tmp_path, lines)
    assert line == 3
    assert told.startswith(problem)


def test_a_header_without_detectors_is_refused(tmp_path: Path) -> None:
    lines = lines_of(example(), tmp_path)
    lines[0]["detectors"] *= 2
    assert refused(tmp_path, lines) == ((1, "`detectors` is empty or names one twice"),)


def test_a_run_is_narrowed_to_detectors_and_moved_to_another_threshold() -> None:
    found = narrowed(example(), ["creds"], 250_000)
    assert [(one.name, one.threshold_ppm, one.threshold_from) for one in found.subjects] == [
        ("creds", 250_000, "command line")
    ]
    assert {name for one in found.rows for name in one.judged} == {"creds"}
    assert narrowed(example(), [], None) == example()
    with pytest.raises(EvaluationError, match=r"the scores are of inject, creds, not of `harm`"):
        narrowed(example(), ["harm"], None)
