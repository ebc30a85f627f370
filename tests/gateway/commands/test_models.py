"""`gatehouse models` as a person and a script see it."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import quickstart
from gateway.commands.models import add_models_commands
from guards.profiles.known import PROFILES
from tests.gateway.model_files import CLASSIFIER, GENERATIVE, classifier, generative


def run(*arguments: str | Path) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    add_models_commands(parser.add_subparsers(), quickstart)
    args = parser.parse_args(["models", *map(str, arguments)])
    out = io.StringIO()
    return args.run(args, out), out.getvalue()


def objects(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    status, said = run(*arguments, "--json")
    return status, [json.loads(line) for line in said.splitlines()]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration with a local guard and one on a server."""
    classifier(tmp_path / "house")
    generative(tmp_path / "far")
    config = tmp_path / "gatehouse.yaml"
    config.write_text(
        f"guards:\n  house: {{path: house, profile: {CLASSIFIER}}}\n"
        f"  {GENERATIVE}: {{path: far, url: 'http://vllm:8000/v1', model: org/m, api_key_file: none}}\n"
    )
    return config


def test_add_says_what_it_listed_and_verify_agrees(tmp_path: Path) -> None:
    directory = classifier(tmp_path / "m")
    status, said = run("add", directory, "--profile", CLASSIFIER)
    assert status == 0
    assert f"{directory}: ok; {CLASSIFIER}, 4 files\n  weights   sha256:" in said
    listed = json.loads((directory / "manifest.json").read_text())
    assert (listed["name"], listed["license"]) == ("m", "Apache-2.0")
    status, [found] = objects("verify", directory)
    assert (status, found["ok"]) == (0, True)
    assert found["weights_digest"] in said


def test_a_model_that_answers_is_added_without_a_profile(tmp_path: Path) -> None:
    from tests.engine import tiny

    directory = tiny.llama4(tmp_path / "m")
    (directory / "manifest.json").unlink()
    status, said = run("add", directory, "--engine", "--licence", "house")
    assert status == 0
    assert "no profile" in said
    status, [found] = objects("verify", directory)
    assert (status, found["ok"]) == (0, True)
    config = json.loads((directory / "config.json").read_text())
    (directory / "manifest.json").unlink()
    (directory / "config.json").write_text(json.dumps(config | {"architectures": ["GPT2LMHeadModel"]}))
    status, said = run("add", directory, "--engine", "--licence", "house")
    assert (status, "GPT2LMHeadModel" in said) == (1, True)
    assert not (directory / "manifest.json").exists()


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_a_model_that_answers_needs_weights_and_a_tokenizer(lost: str, tmp_path: Path) -> None:
    from tests.engine import tiny

    directory = tiny.llama4(tmp_path / "m")
    (directory / "manifest.json").unlink()
    (directory / lost).unlink()
    status, said = run("add", directory, "--engine", "--licence", "house")
    assert (status, lost.rpartition(".")[2] in said) == (1, True)
    assert not (directory / "manifest.json").exists()


def test_a_model_that_answers_needs_a_licence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ((), ("--licence", "x", "--probe")):
        assert run("add", tmp_path, "--engine", *more)[0] == 2
        assert "--licence" in capsys.readouterr().err


def test_name_and_licence_can_be_stated(tmp_path: Path) -> None:
    directory = classifier(tmp_path / "m")
    assert run("add", directory, "--profile", CLASSIFIER, "--name", "mine", "--licence", "MIT")[0] == 0
    listed = json.loads((directory / "manifest.json").read_text())
    assert (listed["name"], listed["license"]) == ("mine", "MIT")


def test_every_problem_of_a_refused_directory_is_a_line_with_its_file(tmp_path: Path) -> None:
    directory = classifier(tmp_path / "m")
    (directory / "tokenizer.json").unlink()
    (directory / "model.safetensors").unlink()
    status, said = run("add", directory, "--profile", CLASSIFIER)
    assert status == 1
    first, second, last = said.splitlines()
    assert f"{directory / 'tokenizer.json'}" in first
    assert "only safetensors are loaded" in second
    assert last == f"{directory}: refused"
    status, [refused] = objects("add", directory, "--profile", CLASSIFIER)
    assert (status, refused["ok"], len(refused["problems"])) == (1, False, 2)


def test_an_unknown_profile_is_a_question_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", tmp_path, "--profile", "lama_guard_4")[0] == 2
    assert "`lama_guard_4` is no profile (did you mean `llama_guard_4`?)" in capsys.readouterr().err
    assert run("add", tmp_path, "--profile", "label_classifier")[0] == 2
    assert "name it with --licence" in capsys.readouterr().err


def test_verify_without_a_name_looks_at_every_configured_guard(site: Path) -> None:
    assert run("add", site.parent / "house", "--profile", CLASSIFIER)[0] == 0
    status, found = objects("verify", "--config", site)
    assert status == 0, found
    assert {one["model"] for one in found} == {"house", GENERATIVE, "starter_injection", "starter_hazard"}
    weights = site.parent / "house" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    status, found = objects("verify", "--config", site)
    assert status == 1
    [refused] = [one for one in found if not one["ok"]]
    assert refused["model"] == "house"
    assert str(weights) in refused["problems"][0]


def test_verify_takes_names_and_paths_together(site: Path) -> None:
    run("add", site.parent / "house", "--profile", CLASSIFIER)
    status, found = objects("verify", "house", site.parent / "house", "--config", site)
    assert status == 0
    assert found[0]["weights_digest"] == found[1]["weights_digest"]


def test_list_names_what_ships_and_where_each_configured_guard_runs(site: Path) -> None:
    status, said = run("list", "--config", site)
    assert status == 0
    for use in PROFILES:
        assert f"\n{use} " in f"\n{said}"
    assert "house (no manifest: gatehouse models add)" in said
    assert "http://vllm:8000/v1 as org/m" in said
    _, found = objects("list", "--config", site)
    guards = {one["guard"]: one for one in found if "guard" in one}
    assert (guards["house"]["url"], guards["house"]["manifest"]) == (None, False)
    assert guards[GENERATIVE]["model"] == "org/m"


@pytest.mark.parametrize("use", PROFILES)
def test_show_prints_what_is_published_of_a_profile(use: str) -> None:
    status, said = run("show", use)
    assert status == 0
    for figure in PROFILES[use].figures:
        assert figure.value in said
        assert figure.source in said
    for code, name in PROFILES[use].names:
        assert f"  {code}  {name}" in said


def test_show_prints_the_digests_of_a_directory(site: Path) -> None:
    directory = site.parent / "house"
    run("add", directory, "--profile", CLASSIFIER)
    for what in (str(directory), "house"):
        _, [shown] = objects("show", what, "--config", site)
        assert shown["profile"] == CLASSIFIER
        assert shown["weights_digest"].startswith("sha256:")
        assert {file["path"] for file in shown["files"]} == {
            "config.json", "model.safetensors", "thresholds.json", "tokenizer.json",
        }  # fmt: skip


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_name_that_means_nothing_is_status_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "starter_hazrad")[0] == 2
    assert "neither a directory nor a configured guard (did you mean `starter_hazard`?)" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_read_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--config", tmp_path / "none.yaml")[0] == 2
    (tmp_path / "bad.yaml").write_text("guards: {x: {}}\n")
    assert run("list", "--config", tmp_path / "bad.yaml")[0] == 2
    assert "bad.yaml:1:10" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["add", "list", "verify", "show"])
def test_help_has_an_example_and_the_exit_status(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(command, "--help")
    said = capsys.readouterr().out
    assert f"example: gatehouse models {command}" in said
    assert "exit status: 0 " in said
