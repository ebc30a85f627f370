"""How conversations become rows: what counts how much, and where the border of an attention chunk falls."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from engine.starter.train.chat import Chat
from engine.starter.train.corpus import FALLBACK
from engine.starter.train.examples import Example
from engine.starter.train.train import BEGINNING, encode, rate, to_tensors

TOKENIZER = Path(__file__).parents[4] / "engine" / "starter" / "model" / "tokenizer.json"


@pytest.fixture(scope="module")
def chat() -> Chat:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.encode_special_tokens = True
    return Chat(tokenizer)


def test_a_whole_answer_counts_most_at_its_beginning(chat: Chat) -> None:
    ids, weights = encode(chat, Example((("user", "hm"),), FALLBACK, whole=True), random.Random(1))

    assert ids[-len(weights) :] == chat.answer(FALLBACK)
    assert weights[:BEGINNING] == [1.0] * BEGINNING
    assert set(weights[BEGINNING:]) == {0.25}


def test_a_border_of_a_chunk_falls_into_the_answer(chat: Chat) -> None:
    turns = (("user", "the cat sat on the mat and " * 300), ("assistant", "Well."), ("user", "and then"))
    example = Example(turns, FALLBACK, whole=True, across=True)
    crossed = 0
    for seed in range(20):
        ids, weights = encode(chat, example, random.Random(seed))
        before = len(ids) - len(weights)
        crossed += any(before - 3 <= border <= len(ids) for border in (512, 1024, 1536))

    assert crossed == 20


def test_targets_are_the_answer_shifted_by_one(chat: Chat) -> None:
    row, short = ([5, 6, 7, 8], [1.0, 0.5]), ([9, 4], [1.0])

    ids_BT, target_BT, weight_BT = to_tensors([row, short], pad=0)

    assert torch.equal(ids_BT, torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0]]))
    assert torch.equal(target_BT, torch.tensor([[-100, 7, 8, -100], [4, -100, -100, -100]]))
    assert torch.equal(weight_BT, torch.tensor([[0.0, 1.0, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]]))


def test_the_learning_rate_rises_stays_and_falls() -> None:
    assert rate(0.0, 1.0) == 0.0
    assert rate(0.2, 1.0) == 1.0
    assert rate(0.7, 1.0) == pytest.approx(0.5)
    assert rate(1.0, 1.0) == pytest.approx(0.02)
