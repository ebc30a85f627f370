"""Prompt Guard from text to verdict: a tiny checkpoint of its class, run by the model host's code, scores exact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import normalizers

from engine.classifier import load_classifier
from guards.classifier import Classifier
from guards.endpoint import ClassifyEndpoint
from guards.model_files import read_model, to_ppm
from guards.options import ClassifierOptions
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_86M
from guards.verdict import Part, Scope
from tests.doubles import ClassifyHost, write_manifest
from tests.engine.classifiers import families_of
from tests.guards.deberta_tokenizer import CLS, SEP, deberta

TEXTS = ("hello", "attack [SEP] hello", "a t t a c k", "hello attack " * 700, "w0rds of many k1nds: %41 &amp; [CLS]")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "pg2"
    tokenizer = deberta(normalizers.Replace(" ", ""))
    families_of.deberta(vocab_size=tokenizer.get_vocab_size()).save_pretrained(directory)
    (directory / "tokenizer.json").write_text(tokenizer.to_str())
    write_manifest(directory)
    return directory


def test_the_score_is_that_of_the_worst_window_judged_alone(checkpoint: Path) -> None:
    """The config that transformers writes names no labels; the last of two classes is the attack all the same."""
    files = read_model(PROMPT_GUARD_2_86M, checkpoint)
    model = families_of.deberta(vocab_size=deberta().get_vocab_size())
    served = load_classifier(checkpoint, "fp32")

    def alone(ids: Sequence[int]) -> float:
        with torch.inference_mode():
            return float(model(torch.tensor([list(ids)])).logits.softmax(-1)[0, 1])

    host = ClassifyHost("pg2", files.digest, lambda ids: served.probabilities([ids])[0])
    endpoint = ClassifyEndpoint("pg2", host.client(), "http://h", "pg2", 2, True, files.digest)
    guard = Classifier(files, endpoint, ClassifierOptions(memory=False))
    verdicts, rows_by_text = [], []
    for text in TEXTS:
        host.calls.clear()
        verdicts += asyncio.run(guard.judge([Part(Scope.USER, "/messages/0/content", "user", text)]))
        rows_by_text.append([row for call in host.calls for row in call])

    for row in (row for rows in rows_by_text for row in rows):
        assert (row[0], row[-1], len(row) <= 512) == (CLS, SEP, True)
    for index, verdict in enumerate(verdicts):
        assert verdict.score_ppm == pytest.approx(to_ppm(max(alone(row) for row in rows_by_text[index])), abs=100)
    assert verdicts[3].windows > 1
    assert len({verdict.score_ppm for verdict in verdicts}) == len(TEXTS), "texts that score alike would prove nothing"
    assert guard.thresholds.score_ppm == 900_000
