"""A classifier gives transformers' probabilities, or its directory is refused."""

from __future__ import annotations

import json
import queue
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.batching import ClassifyJob, ClassifyLane, Scores
from engine.classifier import Classifier, ClassifierInfo, load_classifier
from engine.errors import BadRequest, MemoryExhausted, ModelRefused, RequestError, StepFailed
from engine.loop import EngineLoop
from tests.engine import tiny
from tests.engine.classifiers import families_of

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


def test_a_directory_that_is_no_whole_classifier_is_refused(directory: Path, tmp_path: Path) -> None:
    """All the ways are in tests/engine/classifiers/test_checkpoint.py."""
    tensors = load_file(directory / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())

    with pytest.raises(ModelRefused) as caught:
        load_classifier(tmp_path)
    assert caught.value.code == "weights_mismatch"


def test_scores_that_are_no_numbers_are_an_error() -> None:
    """Also where the probes at load were numbers: a bad row of the table shows with its token only."""

    with pytest.raises(StepFailed) as caught:
        classifier(answer=torch.tensor([[0.0, float("nan")]])).probabilities([[1, 2]])
    assert caught.value.code == "not_finite"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:115] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_too_little_memory_has_an_error_of_its_own(error: RuntimeError) -> None:
    with pytest.raises(MemoryExhausted):
        classifier(error).probabilities([[1, 2]])
    with pytest.raises(RuntimeError, match="shapes"):
        classifier(RuntimeError("mat1 and mat2 shapes cannot be multiplied")).probabilities([[1, 2]])


@pytest.mark.parametrize("length", [0, 9, 600])
def test_fact_12_more_than_the_model_has_positions_for_is_refused_and_never_cut(length: int) -> None:
    with pytest.raises(BadRequest) as caught:
        classifier(answer=torch.zeros(1, 2)).probabilities([[1, 2], [1] * length])
    assert caught.value.code == "context_length_exceeded"


def test_fact_12_deberta_reads_on_without_a_word_where_transformers_serves_it(tmp_path: Path) -> None:
    model = families_of.deberta(max_position_embeddings=64)
    long = families_of.texts((65,))
    assert torch.isfinite(families_of.logits(model, long)).all()

    with pytest.raises(BadRequest):
        load_classifier(families_of.saved(model, tmp_path), "fp32").probabilities(long)


@pytest.mark.parametrize("family", ["deberta", "bert", "roberta", "xlm-roberta", "distilbert", "modernbert"])
def test_every_family_gives_its_own_scores_alone_together_and_in_any_order(family: str, tmp_path: Path) -> None:
    model = families_of.deberta() if family == "deberta" else families_of.of(family)
    loaded = load_classifier(families_of.saved(model, tmp_path), "fp32")
    inputs = families_of.texts()
    wanted = families_of.logits(model, inputs).softmax(-1)

    orders = {
        "together": loaded.probabilities(inputs),
        "alone": [loaded.probabilities([ids])[0] for ids in inputs],
        "backwards": loaded.probabilities(inputs[::-1])[::-1],
        "beside a long one": loaded.probabilities([*inputs, inputs[-1]])[:-1],
    }

    for found in orders.values():
        assert (torch.tensor(found) - wanted).abs().max() < 1e-4


def test_two_threads_at_once_give_the_scores_of_one(tmp_path: Path) -> None:
    model = families_of.deberta()
    loaded = load_classifier(families_of.saved(model, tmp_path), "fp32")
    inputs = families_of.texts([random.Random(8).randrange(1, 300) for _ in range(60)])
    wanted = families_of.logits(model, inputs).softmax(-1).tolist()
    found: queue.Queue[tuple[int, Scores | RequestError]] = queue.Queue()
    lane = ClassifyLane(loaded)
    loop = EngineLoop([lane], [], prepare=[lambda: torch.set_num_threads(1)] * 2)
    loop.start()

    def job(index: int) -> ClassifyJob:
        return ClassifyJob(tuple(inputs[index]), 1e12, lambda outcome: found.put((index, outcome)))

    for _ in range(4):
        with loop.lock():
            lane.add([job(index) for index in range(len(inputs))])
    rows = [found.get(timeout=60) for _ in range(4 * len(inputs))]
    loop.stop(5)

    assert lane.is_shared
    for index, row in rows:
        assert row == pytest.approx(wanted[index], abs=1e-4)


def test_for_replays_every_text_is_a_batch_of_its_own(tmp_path: Path) -> None:
    """In bf16 a score moves by up to a point with what else is in the batch; alone it is the same to the last bit."""
    path = families_of.saved(families_of.deberta(), tmp_path)
    loaded = load_classifier(path, "bf16", is_deterministic=True)
    text, other = families_of.texts((40, 7))
    rows: list[Scores | RequestError] = []
    lane = ClassifyLane(loaded)
    lane.add([ClassifyJob(tuple(ids), 1e12, rows.append) for ids in (text, other, text, other)])
    batches = 0
    while (batch := lane.next(0)) is not None:
        batch.run()
        batches += 1

    assert batches == 2, "the same text twice is still computed once"
    assert sorted(map(str, rows)) == sorted(
        map(str, [*loaded.probabilities([text]), *loaded.probabilities([other])] * 2)
    )


class Scripted:
    """A forward that gives one row, or fails."""

    packs = True

    def __init__(self, error: RuntimeError | None, answer: Tensor | None) -> None:
        self._error, self._answer = error, answer

    def logits(self, batch: Sequence[Sequence[int]]) -> Tensor:
        if self._error is not None or self._answer is None:
            raise self._error or AssertionError("not to be asked")
        return self._answer.expand(len(batch), 2)


def classifier(error: RuntimeError | None = None, answer: Tensor | None = None) -> Classifier:
    info = ClassifierInfo(("benign", "attack"), multi_label=False, max_tokens=8, vocabulary=200, precision="fp32")
    return Classifier(Scripted(error, answer), info)


def test_the_tokenizers_limit_counts_when_it_is_smaller(directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 32}))

    assert load_classifier(tmp_path, "fp32").info.max_tokens == 32
