"""A model that does not behave like its profile is not added, and one that behaves differently later is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from gateway import model_probe
from gateway.model_directory import ModelRefused, as_shipped
from gateway.model_probe import ORDINARY, TOLERANCE_PPM, WANTED
from guards.profiles.configured import configured
from guards.profiles.known import PROFILES
from guards.profiles.profile import Kind
from guards.registry import STARTER_DIRECTORIES
from tests.gateway.commands.test_models import run
from tests.gateway.model_files import classifier

INJECTION = PROFILES["starter_injection"]
GOOD = dict.fromkeys(ORDINARY, 20_000) | dict.fromkeys(WANTED[Kind.ATTACK], 980_000)


@pytest.mark.parametrize("use", STARTER_DIRECTORIES)
def test_what_ships_keeps_its_scores_so_that_all_guards_can_be_verified_with_a_probe(use: str) -> None:
    directory, profile = STARTER_DIRECTORIES[use], PROFILES[use]
    kept = model_probe.manifest(directory)["probes"]
    assert isinstance(kept, dict)
    assert set(kept) == {*ORDINARY, *WANTED[profile.kind]}
    model_probe.refuse_misbehaviour(directory, profile, kept)


def test_every_kind_of_guard_has_its_texts_and_none_is_ordinary() -> None:
    assert set(WANTED) == set(Kind)
    assert len({*ORDINARY, *(text for texts in WANTED.values() for text in texts)}) == 9


def test_an_attack_that_scores_no_higher_than_an_ordinary_text_is_a_refusal(tmp_path: Path) -> None:
    model_probe.refuse_misbehaviour(tmp_path, INJECTION, GOOD)
    for changed in ({ORDINARY[1]: 980_000}, {WANTED[Kind.ATTACK][2]: 0}, dict.fromkeys(GOOD, 499_000)):
        with pytest.raises(ModelRefused, match="does not behave like `starter_injection`"):
            model_probe.refuse_misbehaviour(tmp_path, INJECTION, GOOD | changed)


def test_nobody_here_knows_what_a_guard_of_the_house_looks_for(tmp_path: Path) -> None:
    house = configured("label_classifier", "house", {"labels": ["a", "b"], "flagged": ["b"]}).profile
    model_probe.refuse_misbehaviour(tmp_path, house, dict.fromkeys(GOOD, 0))


def test_kept_scores_are_compared_within_what_machines_differ_by(tmp_path: Path) -> None:
    directory = classifier(tmp_path)
    assert run("add", directory, "--profile", "starter_injection")[0] == 0
    with pytest.raises(ModelRefused, match="keeps no probe verdicts"):
        model_probe.compare(directory, GOOD)
    before = json.loads((directory / "manifest.json").read_text())
    model_probe.keep(directory, GOOD)
    assert run("verify", directory)[0] == 0
    assert json.loads((directory / "manifest.json").read_text()) == before | {"probes": GOOD}
    model_probe.compare(directory, GOOD | {ORDINARY[0]: 20_000 + TOLERANCE_PPM})
    with pytest.raises(ModelRefused) as caught:
        model_probe.compare(directory, GOOD | {ORDINARY[0]: 20_001 + TOLERANCE_PPM, ORDINARY[1]: 900_000})
    assert len(caught.value.problems) == 2
    assert "0.040, it was 0.020 when it was added" in str(caught.value)


def test_probing_needs_the_model_and_a_profile_that_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("add", tmp_path, "--profile", "llama_guard_4", "--probe", "--without-weights")[0] == 2
    assert run("add", tmp_path, "--profile", "label_classifier", "--probe", "--licence", "MIT")[0] == 2
    assert "`--probe` runs the model here" in capsys.readouterr().err


def test_a_model_that_the_host_cannot_load_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    directory = classifier(tmp_path)
    status, said = run("add", directory, "--profile", "starter_injection", "--probe")
    assert status == 1
    assert "could not be probed" in said
    assert not (directory / "manifest.json").exists()


def test_the_shipped_guard_behaves_and_with_its_classes_swapped_it_does_not(tmp_path: Path) -> None:
    """The real model, the real host: every tensor and every digest in order, only the meaning turned round."""
    directory = tmp_path / "starter"
    shutil.copytree(STARTER_DIRECTORIES["starter_injection"], directory)
    chosen = as_shipped("starter_injection")
    assert chosen is not None
    assert run("add", directory, "--profile", "starter_injection", "--probe")[0] == 0
    assert run("verify", directory, "--probe")[0] == 0
    weights = directory / "model.safetensors"
    with safe_open(weights, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    turned = {name: value.flip(0) if name.startswith("classifier.") else value for name, value in tensors.items()}
    save_file(turned, weights, metadata={"format": "pt"})
    assert run("verify", directory)[0] == 1, "the bytes are others"
    status, said = run("add", directory, "--profile", "starter_injection", "--probe")
    assert status == 1
    assert "does not behave like `starter_injection`" in said
