"""A classifier gives transformers' probabilities, or its directory is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.classifier import load_classifier
from engine.errors import ModelRefused, StepFailed
from tests.engine import tiny

INPUTS = [[2, 10, 11, 3], [2, *range(20, 60), 3], [2, 3], [2, 99, 98, 97, 3]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("m"))


def expected(directory: Path, multi_label: bool = False) -> list[list[float]]:
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(directory).eval()
    with torch.inference_mode():
        logits = torch.cat([model(torch.tensor([ids])).logits for ids in INPUTS])
    return (logits.sigmoid() if multi_label else logits.softmax(-1)).tolist()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.05), ("int8", 0.1), ("auto", 0.05)])
def test_probabilities_are_those_of_transformers(directory: Path, precision: str, tolerance: float) -> None:
    classifier = load_classifier(directory, precision)

    for found, wanted in zip(classifier.probabilities(INPUTS), expected(directory), strict=True):
        assert found == pytest.approx(wanted, abs=tolerance)
    assert classifier.info.labels == ("benign", "attack")
    assert classifier.info.max_tokens == 64


def test_padding_moves_nothing(directory: Path) -> None:
    classifier = load_classifier(directory, "fp32")

    together = classifier.probabilities(INPUTS)

    for ids, row in zip(INPUTS, together, strict=True):
        assert classifier.probabilities([ids])[0] == pytest.approx(row, abs=1e-5)


def test_independent_labels_get_sigmoids(tmp_path: Path) -> None:
    tiny.bert(tmp_path, labels=4, multi_label=True)
    classifier = load_classifier(tmp_path, "fp32")

    for found, wanted in zip(classifier.probabilities(INPUTS), expected(tmp_path, True), strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)
    assert classifier.info.multi_label


def test_eight_bit_weights_load_without_any_option(directory: Path, tmp_path: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    shrunk = {name: tensor.to(torch.float8_e4m3fn) if tensor.dim() > 1 else tensor for name, tensor in tensors.items()}
    save_file(shrunk, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())

    found = load_classifier(tmp_path, "fp32").probabilities(INPUTS)

    assert [sum(row) for row in found] == pytest.approx([1.0] * len(INPUTS))


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_head_that_is_not_there_is_not_made_up(directory: Path, tmp_path: Path, change: str) -> None:
    tensors = load_file(directory / "model.safetensors")
    if change == "missing":
        del tensors["classifier.weight"]
    elif change == "extra":
        tensors["classifier.other"] = torch.zeros(1)
    else:
        tensors["classifier.weight"] = torch.zeros(5, 32)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())

    with pytest.raises(ModelRefused) as caught:
        load_classifier(tmp_path)
    assert caught.value.code == "weights_mismatch"


def test_scores_that_are_no_numbers_are_an_error(directory: Path, tmp_path: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["classifier.weight"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())

    with pytest.raises(StepFailed):
        load_classifier(tmp_path, "fp32").probabilities(INPUTS)


def test_the_tokenizers_limit_counts_when_it_is_smaller(directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 32}))

    assert load_classifier(tmp_path, "fp32").info.max_tokens == 32
