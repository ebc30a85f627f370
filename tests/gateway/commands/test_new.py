"""A first policy: written once, from answers on the command line or on a terminal."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands.new import add_new, run_new
from policies.load import load_policy


def test_all_given_asks_nothing_and_the_tests_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "clinic.yaml")
    words = ["policy", "new", "--name", "clinic", "--owner", "privacy@clinic.example", "--template", "strict", file]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"{file}: written; clinic 1.0.0, 5 detectors, ")
    assert main(["policy", "test", "--require-tests", file]) == 0
    assert main(["policy", "lint", file]) == 0


def test_a_list_that_the_policy_pins_is_written_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["policy", "new", "--name", "desk", "--owner", "a@b.example", "--template", "bank"]
    assert main([*words, str(tmp_path / "desk.yaml")]) == 0
    assert "restricted-securities.txt: written" in capsys.readouterr().out
    load_policy(tmp_path / "desk.yaml")
    assert main([*words, str(tmp_path / "again.yaml")]) == 0
    (tmp_path / "restricted-securities.txt").write_text("Others\n")
    assert main([*words, str(tmp_path / "third.yaml")]) == 2
    assert not (tmp_path / "third.yaml").exists()


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine\n")
    assert main(["policy", "new", "--name", "a", "--owner", "b", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "mine\n"


def asked(file: Path, *answers: str) -> tuple[int, list[str]]:
    parser = argparse.ArgumentParser()
    add_new(parser.add_subparsers())
    questions: list[str] = []
    given = iter(answers)

    def ask(question: str) -> str:
        questions.append(question)
        return next(given)

    return run_new(parser.parse_args(["new", str(file)]), io.StringIO(), ask), questions


def test_on_a_terminal_it_asks_what_is_not_given(tmp_path: Path) -> None:
    status, questions = asked(tmp_path / "ward.yaml", "", "nurses@example.com", "")
    assert status == 0
    assert [question.split()[0] for question in questions] == ["name", "owner,", "made"]
    policy = load_policy(tmp_path / "ward.yaml")
    assert (policy.name, policy.owner) == ("ward", "nurses@example.com")
    assert asked(tmp_path / "none.yaml", "", "")[0] == 2
    assert not (tmp_path / "none.yaml").exists()


def test_without_a_terminal_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under pytest standard input is no terminal."""
    assert main(["policy", "new", "--owner", "b", str(tmp_path / "a.yaml")]) == 2
    assert "`--name` is missing" in capsys.readouterr().err
    assert main(["policy", "new", "--owner", "b", "--name", "Bad Name", str(tmp_path / "a.yaml")]) == 2
    assert "`name` is `Bad Name`" in capsys.readouterr().err
    assert main(["policy", "new", "--owner", "b", "--name", "a", str(tmp_path / "no" / "a.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err
