"""What a person can mend in a model directory is said before anything is loaded, all at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from guards.checkpoint import embedding_rows, problems_of
from guards.profiles.known import PROFILES
from tests.gateway.model_files import CLASSIFIER, GENERATIVE, classifier, generative, safetensors

INDEX = "model.safetensors.index.json"


def found(directory: Path, use: str = GENERATIVE, has_weights: bool = True) -> list[str]:
    return problems_of(directory, PROFILES[use], has_weights)


def test_whole_checkpoints_have_no_problem(tmp_path: Path) -> None:
    assert found(generative(tmp_path / "g")) == []
    assert found(classifier(tmp_path / "c"), CLASSIFIER) == []


def rewritten(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_shard_that_did_not_come_along_is_named(tmp_path: Path) -> None:
    directory = generative(tmp_path)
    (directory / "model-00002-of-00002.safetensors").unlink()
    [problem] = found(directory)
    assert problem.startswith(f"`{directory / 'model-00002-of-00002.safetensors'}` is missing")


def test_a_tensor_that_no_shard_has_is_named_and_one_that_no_index_has(tmp_path: Path) -> None:
    directory = generative(tmp_path)
    (directory / "model-00001-of-00002.safetensors").write_bytes(safetensors({"a": 2, "x": 2, "y": 2}))
    missing, extra = found(directory)
    assert "has not the tensor `b`" in missing
    assert "has the tensor `x` and 1 more" in extra


def test_a_shard_that_nothing_would_load_is_a_problem(tmp_path: Path) -> None:
    directory = generative(tmp_path)
    (directory / "model-00003-of-00003.safetensors").write_bytes(safetensors({"d": 1}))
    [problem] = found(directory)
    assert "`" + INDEX + "`; nothing would load it" in problem


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "model.bin"])
def test_an_index_leads_nowhere_else(tmp_path: Path, shard: str) -> None:
    directory = generative(tmp_path)
    rewritten(directory / INDEX, lambda index: index["weight_map"].update(a=shard, b=shard))  # type: ignore[attr-defined]
    assert any("which is no safetensors file beside it" in problem for problem in found(directory))


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": {"a": 1}}', "[" * 100_000])
def test_an_index_that_is_none_is_a_problem_not_a_crash(tmp_path: Path, index: str) -> None:
    directory = generative(tmp_path)
    (directory / INDEX).write_text(index)
    assert any("has no `weight_map`" in problem for problem in found(directory))


def test_weights_in_no_known_file_are_missing_except_where_a_server_has_them(tmp_path: Path) -> None:
    directory = classifier(tmp_path)
    (directory / "model.safetensors").unlink()
    [problem] = found(directory, CLASSIFIER)
    assert "only safetensors are loaded" in problem
    assert found(directory, CLASSIFIER, has_weights=False) == []


@pytest.mark.parametrize("content", [None, "", "[1]", "not json"])
def test_a_tokenizer_that_is_not_there_or_is_none_is_a_problem(tmp_path: Path, content: str | None) -> None:
    directory = classifier(tmp_path)
    (directory / "tokenizer.json").unlink()
    if content is not None:
        (directory / "tokenizer.json").write_text(content)
    [problem] = found(directory, CLASSIFIER)
    assert "tokenizer.json` is missing or is not a JSON object" in problem


def test_a_tokenizer_of_a_larger_model_is_a_problem(tmp_path: Path) -> None:
    """An id beyond the embedding would crash the model, or be read as another word."""
    directory = classifier(tmp_path)
    rewritten(directory / "config.json", lambda config: config.update(vocab_size=40))
    [problem] = found(directory, CLASSIFIER)
    assert "it is another model's tokenizer" in problem


@pytest.mark.parametrize(
    "architectures", [["GPT2LMHeadModel"], [], None, ["LlamaForCausalLM", "X"], "LlamaForCausalLM"]
)
def test_an_architecture_that_does_not_fit_the_profile_is_a_problem(tmp_path: Path, architectures: object) -> None:
    directory = generative(tmp_path)
    rewritten(directory / "config.json", lambda config: config.update(architectures=architectures))
    [problem] = found(directory)
    assert "`llama_guard_3_1b` expects LlamaForCausalLM" in problem


def test_weights_in_another_number_format_are_refused(tmp_path: Path) -> None:
    directory = generative(tmp_path)
    rewritten(directory / "config.json", lambda config: config.update(quantization_config={"quant_method": "awq"}))
    assert any("only unquantised weights" in problem for problem in found(directory))


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert len(found(tmp_path)) == 3


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        ({"vocab_size": 7}, 7),
        ({"vocab_size": 7, "text_config": {"vocab_size": 9}}, 9),
        ({"architectures": ["MllamaForConditionalGeneration"], "text_config": {"vocab_size": 128_256}}, 128_264),
        ({"text_config": {}}, 0),
        ({"vocab_size": "many"}, 0),
    ],
)
def test_a_vision_models_embedding_has_room_for_its_image_token(config: dict[str, object], rows: int) -> None:
    """Llama Guard 3 11B Vision: 128,256 words, and an image token with exactly that number."""
    assert embedding_rows(config) == rows
