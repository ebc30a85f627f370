"""`gatehouse policy check` as a user and as a script see it."""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path

import pytest

from gateway.audit_location import AuditLocation
from gateway.commands.policy import add_policy_commands
from policies.load import load_policy

DEFAULT = Path(__file__).parents[3] / "policies" / "library" / "default.yaml"


def nowhere(config: Path) -> AuditLocation:
    raise FileNotFoundError(2, "No such file or directory", str(config))


def run(*arguments: str | Path) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    add_policy_commands(parser.add_subparsers(), nowhere, Path)
    args = parser.parse_args(["policy", *map(str, arguments)])
    out = io.StringIO()
    return args.run(args, out), out.getvalue()


def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.yaml"
    file.write_text(
        DEFAULT.read_text().replace("on_error: closed", "on_eror: closed").replace("images: 0", "images: x")
    )
    return file


def line_of(file: Path, words: str) -> int:
    return file.read_text().split(words)[0].count("\n") + 1


def test_good_policy_is_summed_up_with_its_digest() -> None:
    status, said = run("check", DEFAULT)
    assert status == 0
    assert f"{DEFAULT}: no problem; default 2026.11.0, 5 detectors" in said
    assert load_policy(DEFAULT).digest in said


def test_every_problem_has_a_line_with_its_place_and_the_status_is_1(tmp_path: Path) -> None:
    file = broken(tmp_path)
    status, said = run("check", file)
    first, second, total = said.splitlines()
    assert status == 1
    assert first.startswith(
        f"{file}:{line_of(file, 'on_eror')}:3: unknown key `on_eror` in `defaults` (did you mean `on_error`?)"
    )
    assert second.startswith(f"{file}:{line_of(file, 'images: x')}:13: `images` is `x`, expected a whole number")
    assert total == f"{file}: 2 problems"


def test_missing_file_is_status_2_and_the_others_are_still_checked(tmp_path: Path) -> None:
    status, said = run("check", tmp_path / "none.yaml", DEFAULT)
    assert status == 2
    assert f"{tmp_path / 'none.yaml'}: cannot be read: no such file or directory" in said
    assert "no problem" in said


def test_folder_stands_for_its_policies_and_an_empty_one_is_no_success(tmp_path: Path) -> None:
    assert run("check", DEFAULT.parent)[0] == 0
    status, said = run("check", tmp_path)
    assert (status, said) == (2, f"{tmp_path}: cannot be read: no .yaml file in this folder\n")


def test_json_is_one_object_a_file(tmp_path: Path) -> None:
    status, said = run("check", "--json", file := broken(tmp_path), DEFAULT, tmp_path / "none.yaml")
    bad, good, missing = map(json.loads, said.splitlines())
    assert status == 2
    assert bad["problems"][0] == {
        "line": line_of(file, "on_eror"),
        "column": 3,
        "problem": "unknown key `on_eror` in `defaults`",
        "hint": "did you mean `on_error`?",
    }
    assert (good["problems"], good["name"]) == ([], "default")
    assert missing["unreadable"] == "no such file or directory"


def test_check_without_a_file_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        run("check")
    assert caught.value.code == 2


def test_help_shows_an_example_and_the_exit_status(capsys) -> None:
    with pytest.raises(SystemExit):
        run("check", "--help")
    said = capsys.readouterr().out
    assert "example: gatehouse policy check" in said
    assert "exit status: 0 no problem, 1 problems found, 2 a file could not be read" in said


def test_tests_of_a_policy_are_run_and_counted() -> None:
    status, said = run("test", "--require-tests", DEFAULT)
    count = len(load_policy(DEFAULT).cases)
    assert (status, said) == (0, f"{DEFAULT}: {count} of {count} tests passed\n")


def test_failed_test_is_a_line_with_its_place_and_the_status_is_1(tmp_path: Path) -> None:
    file = tmp_path / "weak.yaml"
    file.write_text(re.sub(r"(id: injection-retrieved[^}]*gte: )[0-9.]+", r"\g<1>0.9999", DEFAULT.read_text()))
    status, said = run("test", file)
    line = line_of(file, "- name: the same score is an attack inside a tool result")
    assert status == 1
    place = f"{file}:{line}:5: test `the same score is an attack inside a tool result`"
    assert f"{place}: `action` is `allow`, expected `block`" in said
    assert "decides in no test: injection-retrieved" in said


def test_rule_without_a_test_fails_only_when_tests_are_required(tmp_path: Path) -> None:
    file = tmp_path / "untested.yaml"
    file.write_text(DEFAULT.read_text().split("\ntests:")[0])
    status, said = run("test", file)
    assert status == 0
    assert f"{file}: 0 of 0 tests passed" in said
    assert run("test", "--require-tests", file)[0] == 1


def test_tests_of_a_broken_policy_are_not_run(tmp_path: Path) -> None:
    status, said = run("test", broken(tmp_path))
    assert status == 1
    assert "did you mean `on_error`?" in said
    assert "tests passed" not in said
    assert run("test", tmp_path / "none.yaml")[0] == 2


def test_json_of_tests_names_each_of_them() -> None:
    status, said = run("test", "--json", DEFAULT)
    report = json.loads(said)
    assert status == 0
    assert len(report["tests"]) == len(load_policy(DEFAULT).cases)
    assert report["tests"][0]["passed"] is True
    assert report["untested_rules"] == []


HOUSE = """
gatehouse: config/v1
guards:
  house: {path: anywhere, profile: label_classifier, labels: [ok, bad], flagged: [bad]}
"""


def test_a_guard_of_ones_own_is_known_with_its_configuration(tmp_path: Path) -> None:
    """No model, no key and no directory has to be at hand where policies are reviewed."""
    file, config = tmp_path / "policy.yaml", tmp_path / "gatehouse.yaml"
    file.write_text(DEFAULT.read_text().replace("use: starter_injection", "use: house"))
    config.write_text(HOUSE)
    status, said = run("check", file)
    assert status == 1
    assert "`use` is `house`, which neither ships nor stands under `guards:` of the configuration" in said
    assert "`--config gatehouse.yaml`" in said
    assert run("check", "--config", config, file)[0] == 0
    status, said = run("test", "--config", config, file)
    assert status == 0, said


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_configuration_that_cannot_say_it_is_status_2(tmp_path: Path, command: str) -> None:
    config = tmp_path / "gatehouse.yaml"
    status, said = run(command, "-c", config, DEFAULT)
    assert (status, said) == (2, f"{config}: cannot be read: no such file or directory\n")
    config.write_text(HOUSE.replace("flagged: [bad]", "flagged: [worse]"))
    status, said = run(command, "-c", config, DEFAULT)
    assert status == 2
    assert said.startswith(f"{config}:4:")
    assert said.endswith(f"{config}: 1 problem under `guards:`\n")
