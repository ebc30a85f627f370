"""What an edit would have changed, asked as a policy author asks it, of the log of a gateway that ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.gateway.audit.harness import opened, put_test_key
from tests.gateway.test_replay import LIBRARY, edited, scored


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    put_test_key(tmp_path)
    log = opened(tmp_path)
    for ppm in (1_000, 450_000, 500_000, 600_000):
        record: Mapping[str, Any] = scored(ppm)
        log.writer.write([{key: value for key, value in record.items() if key != "seq"}])
    log.close()
    return ["--dir", str(tmp_path / "log")]


def test_an_edit_is_told_with_numbers_rules_and_examples(
    tmp_path: Path, log: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edited(tmp_path, ("threshold: 0.545", "threshold: 0.4"))
    file = str(tmp_path / "edited.yaml")
    assert main(["policy", "replay", file, *log]) == 0
    out = capsys.readouterr().out
    assert out.startswith("this policy flips 2 of 4 recorded decisions\n")
    assert "allow -> block   records 2, 3\n" in out
    assert "by rule: injection-user 2\n" in out
    assert main(["policy", "replay", file, *log, "--fail", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["decisions"], told["flipped"], told["not_replayed"]) == (4, 2, {})


def test_the_policy_that_was_in_force_flips_nothing(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "replay", str(LIBRARY / "default.yaml"), *log, "--fail"]) == 0
    assert capsys.readouterr().out == "this policy flips 0 of 4 recorded decisions\n"


def test_times_and_tenants_narrow_it(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--tenant", "bank"], ["--until", "2020-01-01"]):
        assert main(["policy", "replay", str(LIBRARY / "default.yaml"), *log, *words]) == 0
        assert "of 0 recorded" in capsys.readouterr().out


def test_a_policy_with_problems_decides_nothing(
    tmp_path: Path, log: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("gatehouse: policy/v9\n")
    assert main(["policy", "replay", str(tmp_path / "bad.yaml"), *log]) == 1
    assert "bad.yaml:1:" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--dir", "/nowhere"]])
def test_what_cannot_be_read_is_named(log: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "replay", str(LIBRARY / "default.yaml"), *log, *words]) == 2
    assert "gatehouse policy replay: " in capsys.readouterr().err
