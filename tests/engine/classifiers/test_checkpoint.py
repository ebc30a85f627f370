"""Fact 14: a classifier whose head is missing loads without a word in transformers. Here nothing half is served."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - what is refused has to be made once
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from engine.classifiers.checkpoint import load_checkpoint, max_tokens
from engine.errors import ModelRefused
from tests.engine.classifiers.families_of import deberta, of, saved

FAMILIES = ("deberta", "bert", "roberta", "xlm-roberta", "distilbert", "modernbert")


def checkpoint(family: str, directory: Path) -> Path:
    return saved(deberta() if family == "deberta" else of(family), directory)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("change", ["missing", "unexpected", "mismatched"])
def test_fact_14_a_head_that_is_not_there_is_not_made_up(family: str, change: str, tmp_path: Path) -> None:
    path = checkpoint(family, tmp_path) / "model.safetensors"
    tensors = load_file(path)
    head = next(name for name in sorted(tensors) if name.startswith("classifier") and name.endswith("weight"))
    if change == "missing":
        del tensors[head]
    elif change == "unexpected":
        tensors["classifier.other"] = torch.zeros(1)
    else:
        tensors[head] = torch.zeros(7, 32)
    save_file(tensors, path, metadata={"format": "pt"})

    assert refusal(tmp_path) == "weights_mismatch"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_checkpoint_loads(family: str, tmp_path: Path) -> None:
    assert load_checkpoint(checkpoint(family, tmp_path)).config.num_labels == 2


def test_a_causal_model_is_no_classifier(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    saved(LlamaForCausalLM(of("llama").config), tmp_path)
    assert refusal(tmp_path) == "weights_mismatch"


def test_a_pickle_is_refused_under_its_own_name_and_under_another(tmp_path: Path) -> None:
    checkpoint("bert", tmp_path)
    weights = tmp_path / "model.safetensors"
    raw = pickle.dumps({"x": 1})
    weights.rename(tmp_path / "kept")
    (tmp_path / "pytorch_model.bin").write_bytes(raw)
    assert refusal(tmp_path) == "weights_unsafe"

    weights.write_bytes(raw)
    assert refusal(tmp_path) == "weights_unsafe"


def test_one_that_brings_code_is_refused(tmp_path: Path) -> None:
    path = checkpoint("bert", tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModel": "model.Model"}}))
    assert refusal(tmp_path) == "remote_code"


@pytest.mark.parametrize("size", [119, 121, 5000, 1])
def test_a_tokenizer_of_another_size_is_refused(size: int, tmp_path: Path) -> None:
    """Larger by one is an id without an embedding; much smaller is another model's. A few spare rows are usual."""
    directory = saved(of("bert", vocab_size=120 if size != 1 else 3000), tmp_path)
    words = {f"w{index}": index for index in range(size)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(directory / "tokenizer.json"))

    if size == 119:
        assert load_checkpoint(directory)
    else:
        assert refusal(directory) == "tokenizer_mismatch"


def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path) -> None:
    (checkpoint("bert", tmp_path) / "tokenizer.json").write_text("{}")
    assert refusal(tmp_path) == "tokenizer_invalid"


@pytest.mark.parametrize(
    ("family", "stated", "expected"),
    [
        ("deberta", None, 512),
        ("deberta", 10**30, 512),
        ("bert", 40, 40),
        ("bert", None, 66),
        ("roberta", None, 64),
        ("distilbert", None, 66),
        ("modernbert", None, 66),
    ],
)
def test_the_longest_input_is_the_smallest_of_what_is_stated(
    family: str, stated: Any, expected: int, tmp_path: Path
) -> None:
    """RoBERTa's table has 66 rows and two of them belong to no token."""
    model = deberta() if family == "deberta" else of(family)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated}))
    assert max_tokens(tmp_path, model) == expected


def refusal(directory: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        load_checkpoint(directory)
    return caught.value.code
