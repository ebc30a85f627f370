"""The small files of a checkpoint, and everything that stops a start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guards.errors import GuardSetupError
from guards.generative.checkpoint import Checkpoint, read_checkpoint, template_digest
from tests.doubles import write_manifest
from tests.guards.generative.stand_ins import digest, profile_of, template_of, write_guard

USE = "llama_guard_3_1b"
PROFILE = profile_of(USE)


def read(directory: Path, sealed: bool = True, template: Path | None = None) -> Checkpoint:
    return read_checkpoint(PROFILE, directory, sealed, template)


def settings(directory: Path, **values: object) -> None:
    (directory / "tokenizer_config.json").write_text(json.dumps(values))
    (directory / "chat_template.jinja").unlink()
    write_manifest(directory)


def test_a_true_directory_gives_all_that_is_needed(tmp_path: Path) -> None:
    directory = write_guard(tmp_path, USE)

    found = read(directory)

    assert found.digest == write_manifest(directory)
    assert found.template == template_of(USE)
    assert found.names == {"bos_token": "<|begin_of_text|>"}
    assert found.positions == 131_072
    assert template_digest(found.template) == f"sha256:{digest(directory / 'chat_template.jinja')}"


@pytest.mark.parametrize(
    "template",
    ["T", [{"name": "tool_use", "template": "U"}, {"name": "default", "template": "T"}]],
)
def test_a_template_may_stand_in_the_tokenizers_settings(tmp_path: Path, template: object) -> None:
    directory = write_guard(tmp_path, USE)
    settings(directory, chat_template=template, bos_token={"content": "<|begin_of_text|>", "lstrip": False})

    assert read(directory).template == "T"
    assert read(directory).names == {"bos_token": "<|begin_of_text|>"}


def test_a_template_may_stand_in_a_file_of_json(tmp_path: Path) -> None:
    directory = write_guard(tmp_path, USE)
    (directory / "chat_template.json").write_text('{"chat_template": "T"}')
    settings(directory)

    assert read(directory).template == "T"


@pytest.mark.parametrize("template", [None, "", "  ", 7, [{"name": "tool_use", "template": "U"}]])
def test_without_a_template_there_is_no_guard(tmp_path: Path, template: object) -> None:
    directory = write_guard(tmp_path, USE)
    settings(directory, chat_template=template)

    with pytest.raises(GuardSetupError, match="no chat template"):
        read(directory)


def test_an_operators_file_takes_the_templates_place(tmp_path: Path) -> None:
    directory = write_guard(tmp_path / "m", USE)
    own = tmp_path / "own.jinja"
    own.write_text("mine")

    assert read(directory, template=own).template == "mine"


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "chat_template.jinja", "tokenizer_config.json"])
def test_a_file_that_differs_from_the_manifest_is_refused(tmp_path: Path, name: str) -> None:
    directory = write_guard(tmp_path, USE)
    path = directory / name
    path.write_text(path.read_text() + " ")

    for sealed in (True, False):
        with pytest.raises(GuardSetupError, match=f"`{name}` is not the file that the manifest lists"):
            read(directory, sealed)


def test_our_host_needs_a_manifest_and_a_server_elsewhere_does_not(tmp_path: Path) -> None:
    directory = write_guard(tmp_path, USE)
    (directory / "manifest.json").unlink()

    with pytest.raises(GuardSetupError, match=r"cannot read `manifest\.json`"):
        read(directory)
    first = read(directory, sealed=False).digest
    (directory / "chat_template.jinja").write_text("another")
    assert first.startswith("sha256:")
    assert read(directory, sealed=False).digest != first


def test_a_server_elsewhere_needs_tokenizer_and_template_only(tmp_path: Path) -> None:
    directory = write_guard(tmp_path, USE)
    for name in ("manifest.json", "config.json", "tokenizer_config.json"):
        (directory / name).unlink()

    found = read(directory, sealed=False)

    assert (found.positions, found.vocabulary, found.ends) == (0, 0, ())
    (directory / "tokenizer.json").unlink()
    with pytest.raises(GuardSetupError, match=r"cannot read `tokenizer\.json`"):
        read(directory, sealed=False)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    directory = write_guard(tmp_path, USE, architectures=["LlamaForSequenceClassification"])

    with pytest.raises(GuardSetupError, match="has not the architecture LlamaForCausalLM"):
        read(directory)


def test_sizes_of_a_model_with_pictures_are_those_of_its_text_part(tmp_path: Path) -> None:
    text = {"vocab_size": 400, "max_position_embeddings": 9_000}
    directory = write_guard(tmp_path, USE, text_config=text)

    assert (read(directory).vocabulary, read(directory).positions) == (400, 9_000)


@pytest.mark.parametrize(("value", "ends"), [(7, (7,)), ([7, 8], (7, 8)), ("x", ()), (None, ())])
def test_tokens_that_end_an_answer_come_from_the_generation_settings(
    tmp_path: Path, value: object, ends: tuple[int, ...]
) -> None:
    directory = write_guard(tmp_path, USE)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))
    write_manifest(directory)

    assert read(directory).ends == ends


@pytest.mark.parametrize("content", [b"\xff", b"[]", b"{", b"[" * 99_999])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    directory = write_guard(tmp_path, USE)
    (directory / "config.json").write_bytes(content)
    write_manifest(directory)

    with pytest.raises(GuardSetupError, match=r"`config\.json` is not"):
        read(directory)
