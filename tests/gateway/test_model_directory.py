"""A directory is listed when it is whole and safe, and afterwards no byte of it changes unseen."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - to write the file that has to be refused
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import model_directory
from gateway.guard_settings import GuardSettings
from gateway.model_directory import Addition, ModelRefused
from guards.profiles.configured import configured
from guards.profiles.known import PROFILES
from tests.gateway.model_files import CLASSIFIER, GENERATIVE, classifier, generative

ADDITIONS = {name: Addition("tiny", "Apache-2.0", name) for name in (CLASSIFIER, GENERATIVE)}


def added(directory: Path, use: str = CLASSIFIER) -> str:
    return model_directory.add(directory, ADDITIONS[use]).digest


def refusal(directory: Path, use: str = CLASSIFIER) -> str:
    with pytest.raises(ModelRefused) as caught:
        model_directory.add(directory, ADDITIONS[use])
    assert not (directory / "manifest.json").exists(), "a refused directory keeps no manifest"
    return str(caught.value)


def spoilt(directory: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        model_directory.verify(directory)
    return str(caught.value)


def test_a_classifier_is_added_and_verifies(tmp_path: Path) -> None:
    digest = added(classifier(tmp_path))
    found = model_directory.verify(tmp_path)
    assert (found.digest, found.profile, found.files) == (digest, CLASSIFIER, 4)
    listed = model_directory.manifest(tmp_path)
    assert (listed["profile"], listed["license"]) == (CLASSIFIER, "Apache-2.0")
    assert model_directory.claimed_digest(listed) == digest


def test_a_generative_guard_has_its_template_tried_out_and_cited(tmp_path: Path) -> None:
    directory = generative(tmp_path)
    found = model_directory.add(directory, ADDITIONS[GENERATIVE])
    assert found.template.startswith("sha256:")
    assert model_directory.verify(directory).template == found.template


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model.safetensors", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        ("model.safetensors", lambda raw: raw[:-1]),
        ("tokenizer.json", lambda raw: raw + b" "),
        ("config.json", lambda raw: raw.replace(b"benign", b"Benign")),
    ],
)
def test_one_changed_byte_is_found_and_its_file_named(
    tmp_path: Path, file: str, change: Callable[[bytes], bytes]
) -> None:
    added(classifier(tmp_path))
    path = tmp_path / file
    path.write_bytes(change(path.read_bytes()))
    assert f"`{path}` has " in spoilt(tmp_path)


def test_a_file_that_nobody_listed_and_one_that_is_gone_are_found(tmp_path: Path) -> None:
    added(classifier(tmp_path))
    (tmp_path / "extra.json").write_text("{}")
    assert "extra.json` is not in the manifest" in spoilt(tmp_path)
    (tmp_path / "extra.json").unlink()
    (tmp_path / "thresholds.json").unlink()
    assert "thresholds.json` is in the manifest and not on disk" in spoilt(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "notes.txt"])
def test_a_pickle_is_refused_under_any_name(tmp_path: Path, name: str) -> None:
    directory = classifier(tmp_path)
    (directory / name).write_bytes(pickle.dumps({"w": [1.0]}))
    assert name in refusal(directory)


def test_code_that_a_model_would_bring_is_refused(tmp_path: Path) -> None:
    directory = classifier(tmp_path)
    (directory / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": "x.Y"}}')
    assert "loads code from the model" in refusal(directory)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ ''.__class__.__mro__ }}", "template"),
        ("{% for x in messages %}{{ x.content", "template"),
        ("{{ raise_exception('no') }}", "template"),
        ("no conversation in it", "template"),
    ],
)
def test_a_template_that_does_not_work_in_the_sandbox_is_refused(tmp_path: Path, template: str, told: str) -> None:
    directory = generative(tmp_path)
    (directory / "chat_template.jinja").write_text(template)
    assert told in refusal(directory, GENERATIVE)


def test_a_directory_of_another_model_is_refused_with_everything_that_does_not_fit(tmp_path: Path) -> None:
    said = refusal(classifier(tmp_path), GENERATIVE)
    assert "`architectures` is" in said
    assert refusal(tmp_path / "nowhere", CLASSIFIER).count("\n") == 2


def test_a_refused_addition_leaves_the_manifest_of_before(tmp_path: Path) -> None:
    directory = generative(tmp_path)
    added(directory, GENERATIVE)
    before = (directory / "manifest.json").read_bytes()
    (directory / "chat_template.jinja").write_text("no conversation in it")
    with pytest.raises(ModelRefused):
        added(directory, GENERATIVE)
    assert (directory / "manifest.json").read_bytes() == before


def test_a_guard_of_the_house_is_verified_as_its_configuration_describes_it(tmp_path: Path) -> None:
    """Only the configuration knows the labels, so only then are they compared."""
    directory = classifier(tmp_path)
    model_directory.add(directory, Addition("tiny", "MIT", "label_classifier"))
    assert model_directory.verify(directory).profile == "label_classifier"
    options: dict[str, object]
    for labels, fits in ((["benign", "attack"], True), (["good", "evil"], False)):
        options = {"labels": labels, "flagged": labels[1:], "window": 256}
        options |= {"opening": "[CLS]", "closing": "[SEP]", "unknown": "[UNK]"}
        house = configured("label_classifier", "house", options)
        settings = GuardSettings("house", house.profile, directory, options=house.options)
        if fits:
            assert model_directory.verify(directory, settings).profile == "house"
            continue
        with pytest.raises(ModelRefused, match="has not the labels good, evil"):
            model_directory.verify(directory, settings)


def test_what_a_server_runs_needs_its_small_files_only(tmp_path: Path) -> None:
    directory = generative(tmp_path, shards=())
    (directory / "model.safetensors.index.json").unlink()
    settings = GuardSettings("far", PROFILES[GENERATIVE], directory, url="http://vllm/v1", model="m")
    assert model_directory.verify(directory, settings).digest.startswith("sha256:")
    model_directory.add(directory, Addition("far", "x", GENERATIVE, has_weights=False))
    assert model_directory.verify(directory, settings).files == 4
    assert model_directory.verify(directory).files == 4


@pytest.mark.parametrize("content", [None, "[]", "not json", '{"files": []}'])
def test_a_manifest_that_is_none_is_a_refusal(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ModelRefused, match="manifest"):
        model_directory.manifest(tmp_path)


def test_the_manifest_is_the_one_that_the_model_host_checks(tmp_path: Path) -> None:
    digest = added(classifier(tmp_path))
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert set(files) == {"config.json", "model.safetensors", "thresholds.json", "tokenizer.json"}
    assert digest == model_directory.claimed_digest({"files": files})
