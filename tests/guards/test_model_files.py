"""What the front reads of a model directory, and everything that stops it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from guards.errors import GuardSetupError
from guards.model_files import read_model, to_ppm
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_86M
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION
from tests.doubles import write_manifest, write_model


def test_a_true_directory_gives_digest_tokenizer_and_thresholds(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m", STARTER_HAZARD)

    files = read_model(STARTER_HAZARD, directory)

    assert files.digest == write_manifest(directory)
    assert json.loads(files.tokenizer_json)["model"]["type"] == "WordPiece"
    assert files.thresholds.score_ppm == 500_000
    assert dict(files.thresholds.category_ppm) == dict.fromkeys(STARTER_HAZARD.categories, 250_000)


@pytest.mark.parametrize("name", ["tokenizer.json", "thresholds.json", "config.json"])
def test_a_file_that_differs_from_the_manifest_is_refused(tmp_path: Path, name: str) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    path = directory / name
    path.write_text(path.read_text() + " ")

    with pytest.raises(GuardSetupError, match=f"`{name}` is not the file that the manifest lists"):
        read_model(STARTER_INJECTION, directory)


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json", "thresholds.json", "config.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    (directory / name).unlink()

    with pytest.raises(GuardSetupError, match=f"cannot read `{name}`"):
        read_model(STARTER_INJECTION, directory)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"format": "gatehouse-manifest/v1", "files": []}', "[" * 99_999])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: str) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    (directory / "manifest.json").write_text(manifest)

    with pytest.raises(GuardSetupError, match=r"manifest\.json"):
        read_model(STARTER_INJECTION, directory)


@pytest.mark.parametrize(
    "changed",
    [
        {"architectures": ["DebertaV2ForSequenceClassification"]},
        {"id2label": {"0": "attack", "1": "benign"}},
        {"problem_type": "multi_label_classification"},
        {"max_position_embeddings": 128},
        {"max_position_embeddings": None},
    ],
)
def test_a_checkpoint_that_is_not_the_one_of_the_profile_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION, **changed)

    with pytest.raises(GuardSetupError, match=r"config\.json|problem_type|max_position"):
        read_model(STARTER_INJECTION, directory)


@pytest.mark.parametrize("score", [0, 1.5, -1, "0.5", None, True, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(tmp_path: Path, score: object) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    (directory / "thresholds.json").write_text(json.dumps({"score": score}))
    write_manifest(directory)

    with pytest.raises(GuardSetupError, match="threshold"):
        read_model(STARTER_INJECTION, directory)


def test_thresholds_of_unknown_categories_are_refused(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m", STARTER_HAZARD)
    (directory / "thresholds.json").write_text('{"score": 0.5, "categories": {"S15": 0.5}}')
    write_manifest(directory)

    with pytest.raises(GuardSetupError, match="categories"):
        read_model(STARTER_HAZARD, directory)


@pytest.mark.parametrize(
    ("probability", "ppm"), [(0.0, 0), (1.0, 1_000_000), (0.0000005, 1), (0.00000049, 0), (0.5, 500_000)]
)
def test_probabilities_become_parts_per_million_with_halves_up(probability: float, ppm: int) -> None:
    assert to_ppm(probability) == ppm


def test_labels_may_be_spelled_as_the_profile_allows_or_left_out(tmp_path: Path) -> None:
    for number, labels in enumerate([{"0": "LABEL_0", "1": "LABEL_1"}, {"0": "BENIGN", "1": "MALICIOUS"}, None]):
        directory = write_model(tmp_path / str(number), PROMPT_GUARD_2_86M, id2label=labels)
        assert read_model(PROMPT_GUARD_2_86M, directory).profile is PROMPT_GUARD_2_86M

    swapped = write_model(tmp_path / "swapped", PROMPT_GUARD_2_86M, id2label={"0": "MALICIOUS", "1": "BENIGN"})
    with pytest.raises(GuardSetupError, match="labels"):
        read_model(PROMPT_GUARD_2_86M, swapped)


@pytest.mark.parametrize("named", [None, [], {"1": "benign"}, {"0": "benign", "2": "attack"}])
def test_labels_that_are_no_list_of_outputs_are_refused(tmp_path: Path, named: object) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION, id2label=named, num_labels="two")

    with pytest.raises(GuardSetupError, match="labels"):
        read_model(STARTER_INJECTION, directory)


def test_any_architecture_of_the_profile_will_do(tmp_path: Path) -> None:
    profile = replace(STARTER_INJECTION, architectures=("RobertaForSequenceClassification",))
    for number, name in enumerate((profile.architecture, *profile.architectures)):
        read_model(profile, write_model(tmp_path / str(number), profile, architectures=[name]))

    with pytest.raises(GuardSetupError, match="BertForSequenceClassification or Roberta"):
        read_model(profile, write_model(tmp_path / "other", profile, architectures=["LlamaForCausalLM"]))


def test_a_checkpoint_that_nobody_measured_has_the_profiles_threshold(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m", PROMPT_GUARD_2_86M)
    (directory / "thresholds.json").unlink()
    write_manifest(directory)

    assert read_model(PROMPT_GUARD_2_86M, directory).thresholds.score_ppm == 900_000


def test_a_model_elsewhere_needs_no_manifest_and_is_named_by_its_small_files(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    named = read_model(STARTER_INJECTION, directory, remote=True).digest
    assert named == write_manifest(directory)

    (directory / "manifest.json").unlink()
    bare = read_model(STARTER_INJECTION, directory, remote=True)
    (directory / "tokenizer.json").write_text(bare.tokenizer_json + " ")
    changed = read_model(STARTER_INJECTION, directory, remote=True)

    assert len({bare.digest, changed.digest}) == 2
    with pytest.raises(GuardSetupError, match=r"manifest\.json"):
        read_model(STARTER_INJECTION, directory)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_model_elsewhere_still_needs_its_small_files(tmp_path: Path, name: str) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    (directory / "manifest.json").unlink()
    (directory / name).unlink()

    with pytest.raises(GuardSetupError, match=f"`{name}`"):
        read_model(STARTER_INJECTION, directory, remote=True)
