"""An edit compared as a reviewer and as CI do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main

LIBRARY = Path(__file__).parents[3] / "policies" / "library"
DEFAULT, STRICT = str(LIBRARY / "default.yaml"), str(LIBRARY / "strict.yaml")


@pytest.fixture
def edited(tmp_path: Path) -> str:
    file = tmp_path / "edited.yaml"
    file.write_text(Path(DEFAULT).read_text().replace("threshold: 0.545", "threshold: 0.7"))
    return str(file)


def test_a_weakening_is_told_in_words_and_in_json(edited: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "diff", DEFAULT, edited]) == 1
    told = "weaker   detector `inject` threshold: 0.545 -> 0.7; its rules match less than they did (injection-user)"
    assert capsys.readouterr().out.splitlines() == [
        told,
        f"{edited} is weaker than {DEFAULT}: 1 weaker, 0 stronger, 0 other",
    ]
    assert main(["policy", "diff", "--json", DEFAULT, edited]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["weaker"] is True
    assert [(one["before"], one["after"], one["effect"]) for one in found["changes"]] == [("0.545", "0.7", "weaker")]


def test_ci_can_fail_on_weaker_only(edited: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "diff", "--fail-on", "weaker", DEFAULT, STRICT]) == 0
    assert "strict.yaml is not weaker than" in capsys.readouterr().out
    assert main(["policy", "diff", "--fail-on", "weaker", DEFAULT, edited]) == 1
    assert main(["policy", "diff", "--fail-on", "weaker", edited, DEFAULT]) == 0


def test_equal_meaning_is_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "same.yaml").write_text("# a comment\n" + Path(DEFAULT).read_text())
    assert main(["policy", "diff", DEFAULT, str(tmp_path / "same.yaml")]) == 0
    assert capsys.readouterr().out.startswith("no difference: sha256:")


def test_what_does_not_load_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("gatehouse: policy/v9\n")
    assert main(["policy", "diff", DEFAULT, str(tmp_path / "bad.yaml")]) == 2
    assert main(["policy", "diff", str(tmp_path / "none.yaml"), DEFAULT]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "bad.yaml:1:" in captured.err
