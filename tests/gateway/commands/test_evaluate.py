"""`gatehouse eval` and `gatehouse calibrate` as a user and as a script see them."""

from __future__ import annotations

import argparse
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.evaluate import add_evaluate_commands
from gateway.evaluate.run import Judged
from gateway.evaluate.scores import write_scores
from tests.gateway.evaluate.made import row, run, subject
from tests.gateway.evaluate.test_session import site

SECRET = "burgle the text nobody may see"


def parsed(*arguments: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_evaluate_commands(parser.add_subparsers(), lambda: Path("gatehouse.yaml"))
    return parser.parse_args(list(map(str, arguments)))


def gatehouse(*arguments: str | Path) -> tuple[int, str]:
    out, args = io.StringIO(), parsed(*arguments)
    return args.run(args, out), out.getvalue()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    site(tmp_path)
    rows = [{"text": f"{SECRET} {n}" if n % 2 else f"fine {n}", "label": n % 2, "language": "en"} for n in range(10)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def of_site(directory: Path) -> tuple[str, ...]:
    return str(directory / "set.jsonl"), "--config", str(directory / "gatehouse.yaml"), "--detector", "words"


def scores(tmp_path: Path, errors: int = 0) -> Path:
    source = random.Random(1)
    rows = [row(n, False, source.randrange(500_000)) for n in range(400)]
    rows += [row(500 + n, True, source.randrange(300_000, 10**6)) for n in range(100)]
    rows += [row(900 + n, False, Judged(None, "timeout")) for n in range(errors)]
    write_scores(run(rows, subject()), tmp_path / "scores.jsonl")
    return tmp_path / "scores.jsonl"


def test_eval_reports_and_writes_everything_without_the_texts(directory: Path, capsys: Any) -> None:
    html, out = directory / "r.html", directory / "s.jsonl"
    status, said = gatehouse("eval", *of_site(directory), "--html", html, "--out", out)
    assert status == 0
    assert "recall             1.000 [0.566, 1.000] 5/5" in said
    assert html.read_text().startswith("<!DOCTYPE html>")
    everything = said + html.read_text() + out.read_text() + "".join(capsys.readouterr())
    assert "burgle" not in everything


def test_the_same_numbers_come_again_from_the_scores(directory: Path) -> None:
    _, first = gatehouse("eval", *of_site(directory), "--out", directory / "s.jsonl", "--json")
    (directory / "policy.yaml").unlink()
    status, again = gatehouse("eval", "--scores", directory / "s.jsonl", "--json")
    assert status == 0
    assert json.loads(again) == json.loads(first)


def test_another_threshold_needs_no_models(tmp_path: Path) -> None:
    _, said = gatehouse("eval", "--scores", scores(tmp_path), "--threshold", "0.25", "--json")
    (detector,) = json.loads(said)["detectors"]
    assert (detector["threshold_ppm"], detector["threshold_from"]) == (250_000, "command line")
    assert detector["at_threshold"]["recall"]["count"] == 100


def test_missing_verdicts_are_status_1(tmp_path: Path, capsys: Any) -> None:
    status, said = gatehouse("eval", "--scores", scores(tmp_path, errors=3))
    assert status == 1
    assert "NOT judged: 3" in said
    assert "3 verdicts are missing" in capsys.readouterr().err


def test_bad_lines_are_status_2_with_their_places_and_without_their_text(directory: Path, capsys: Any) -> None:
    (directory / "set.jsonl").write_text(json.dumps({"text": SECRET}) + "\n" + SECRET)
    status, said = gatehouse("eval", *of_site(directory))
    told = capsys.readouterr().err
    assert (status, said) == (2, "")
    assert f"{directory}/set.jsonl:1: `label` is missing, expected 0, 1, true or false\n" in told
    assert f"{directory}/set.jsonl:2: the line is not valid JSON" in told
    assert "burgle" not in told


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "expected a set or `--scores`, and not both"),
        (("set.jsonl", "--scores", "s"), "expected a set or `--scores`, and not both"),
        (("set.jsonl", "--out", "/nowhere/x"), "`/nowhere/x` cannot be written"),
        (("set.jsonl", "--html", "/"), "`/` cannot be written"),
        (("/nowhere/set.jsonl",), "`/nowhere/set.jsonl` cannot be read: no such file or directory"),
    ],
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], problem: str, capsys: Any) -> None:
    assert gatehouse("eval", *arguments)[0] == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        ("--threshold", "1.5"),
        ("--threshold", "0.1234567"),
        ("--threshold", "x"),
        ("--concurrency", "0"),
        ("--timeout", "0"),
        ("--timeout", "nan"),
        ("--detector", "a,,b"),
        ("--use", "a,a"),
    ],
)
def test_options_out_of_range_are_refused_by_the_parser(option: tuple[str, str], capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parsed("eval", "set.jsonl", *option)
    assert f"`{option[1]}` is not a" in capsys.readouterr().err


def test_calibrate_writes_an_entry_for_the_policy(tmp_path: Path) -> None:
    out = tmp_path / "inject.yaml"
    status, said = gatehouse("calibrate", "--scores", scores(tmp_path), "--fpr", "0.05", "--out", out)
    assert status == 0
    assert "  inject:\n    use: starter_injection\n    threshold: 0.4" in out.read_text()
    assert said.rstrip().endswith(out.read_text().rstrip())


def test_calibrate_as_json_and_missing_verdicts(tmp_path: Path) -> None:
    status, said = gatehouse("calibrate", "--scores", scores(tmp_path, errors=2), "--fpr", "0.05", "--json")
    assert status == 1
    found = json.loads(said)
    assert found["rows"]["errors"] == 2
    assert found["policy_snippet"].startswith("  # chosen by")


def test_calibrate_refuses_what_the_set_cannot_show(tmp_path: Path, directory: Path, capsys: Any) -> None:
    """Read back or judged anew: for the second the refusal comes before any judging."""
    assert gatehouse("calibrate", "--scores", scores(tmp_path), "--fpr", "0.01")[0] == 2
    assert "need 299 there, about 598 in the set" in capsys.readouterr().err
    assert gatehouse("calibrate", *of_site(directory), "--fpr", "0.01")[0] == 2
    assert "the part to choose on has 2" in capsys.readouterr().err


def test_calibrate_is_for_one_detector(tmp_path: Path, capsys: Any) -> None:
    both = [row(n, False, {"a": Judged(1), "b": Judged(1)}) for n in range(9)]
    write_scores(run(both, subject("a"), subject("b")), tmp_path / "two.jsonl")
    assert gatehouse("calibrate", "--scores", tmp_path / "two.jsonl", "--fpr", "0.5")[0] == 2
    assert "there are 2 detectors, expected one" in capsys.readouterr().err


def test_too_many_detectors_are_noticed_before_any_judging(directory: Path, capsys: Any) -> None:
    site = of_site(directory)[:3]
    assert gatehouse("calibrate", *site, "--detector", "words,creds", "--fpr", "0.9")[0] == 2
    assert "there are 2 detectors, expected one" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["0", "1", "1.5", "-1", "x"])
def test_a_rate_lies_between_0_and_1(rate: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parsed("calibrate", "set.jsonl", f"--fpr={rate}")
    assert f"`{rate}` is not a number" in capsys.readouterr().err


def test_help_has_examples_and_statuses(capsys: Any) -> None:
    for command in ("eval", "calibrate"):
        with pytest.raises(SystemExit):
            parsed(command, "--help")
        told = capsys.readouterr().out
        assert f"example: gatehouse {command} " in told
        assert "exit status: 0" in told
