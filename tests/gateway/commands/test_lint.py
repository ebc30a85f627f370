"""Findings as an author and as CI get them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main

LIBRARY = Path(__file__).parents[3] / "policies" / "library"
DEFAULT = str(LIBRARY / "default.yaml")


@pytest.fixture
def file(tmp_path: Path) -> str:
    edited = tmp_path / "edited.yaml"
    text = Path(DEFAULT).read_text().replace("threshold: 0.545 ", "threshold: 1 ")
    edited.write_text(text.replace(", message: The answer was withheld.", ""))
    return str(edited)


def test_findings_are_lines_with_place_code_and_fix(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", file]) == 1
    first, second, count = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{file}:")
    assert ": extreme-threshold: threshold 1 of `inject` is reached by almost no text (choose one with" in first
    assert ": without-message: rule `harm-out` blocks without a `message`" in second
    assert count == f"{file}: 2 findings"
    assert main(["policy", "lint", "--json", file]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in told["findings"]] == ["extreme-threshold", "without-message"]
    ignored = ["--ignore", "extreme-threshold", "--ignore", "without-message"]
    assert main(["policy", "lint", *ignored, file]) == 0


def test_nothing_to_say_is_status_0_and_what_does_not_load_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "lint", DEFAULT]) == 0
    assert capsys.readouterr().out == f"{DEFAULT}: no finding\n"
    (tmp_path / "bad.yaml").write_text("gatehouse: policy/v9\n")
    assert main(["policy", "lint", str(tmp_path / "bad.yaml")]) == 2
    assert main(["policy", "lint", str(tmp_path / "none.yaml"), DEFAULT]) == 2
