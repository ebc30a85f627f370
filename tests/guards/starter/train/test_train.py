"""The loss skips what is not known, and cropping keeps what announces an attack."""

from __future__ import annotations

import random

import torch

from guards.starter.train.data import Row
from guards.starter.train.model import Logits
from guards.starter.train.scores import CLS, SEP
from guards.starter.train.train import CROP, LONG_CROP, Averaged, crop, loss_of


def gradients(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    injection, hazard = torch.zeros(len(rows), 2, requires_grad=True), torch.zeros(len(rows), 15, requires_grad=True)
    loss_of(Logits(injection, hazard), rows).backward()
    assert injection.grad is not None
    assert hazard.grad is not None
    return injection.grad, hazard.grad


def test_unknown_labels_teach_nothing() -> None:
    attack = Row("a", "x", "en", attack=True)
    answer = Row("b", "x", "en", unsafe=True, role="assistant")
    named = Row("c", "x", "en", attack=False, unsafe=True, categories=frozenset({"S2"}))
    injection, hazard = gradients([attack, answer, named])
    assert hazard[0].abs().sum() == 0, "an attack says nothing about hazard"
    assert injection[1].abs().sum() == 0, "an answer says nothing about attacks"
    assert hazard[1, 1:].abs().sum() == 0, "no category is known"
    assert hazard[1, 0] < 0, "more unsafe"
    assert hazard[2, 2] < 0, "more S2"
    assert (hazard[2, 3:] > 0).all(), "less of the others"


def test_a_row_without_trust_teaches_nothing() -> None:
    injection, hazard = gradients([Row("a", "x", "en", attack=True, unsafe=True, trust=0.0)])
    assert injection.abs().sum() == 0
    assert hazard.abs().sum() == 0


def test_crops_are_framed_and_mostly_the_head() -> None:
    rng = random.Random(1)
    cuts = [crop(range(1000, 3000), rng) for _ in range(200)]
    assert all(cut[0] == CLS and cut[-1] == SEP for cut in cuts)
    assert {len(cut) for cut in cuts} == {CROP, LONG_CROP}
    assert sum(cut[1] == 1000 for cut in cuts) > 120
    assert crop([5, 6], rng) == [CLS, 5, 6, SEP]


def test_the_average_follows_the_weights() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    averaged = Averaged(layer)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    for _ in range(3000):
        averaged.update(layer)
    assert abs(float(averaged.state["weight"]) - 1.0) < 0.01
