"""Bias and penalties are those of the definitions, computed again here one token at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.adjust import Adjustment
from engine.events import Sampling
from engine.sampler import Sampler

LOGITS = torch.tensor([2.0, -1.0, 0.5, 0.0])


def plainly(sampling: Sampling, prompt: list[int], drawn: list[int]) -> list[float]:
    scores = LOGITS.tolist()
    for token in range(len(scores)):
        if token in [*prompt, *drawn] and sampling.repetition_penalty != 1:
            factor = sampling.repetition_penalty
            scores[token] = scores[token] / factor if scores[token] > 0 else scores[token] * factor
        if token in drawn:
            scores[token] -= sampling.presence_penalty + sampling.frequency_penalty * drawn.count(token)
        scores[token] += dict(sampling.logit_bias).get(token, 0.0)
    return scores


TOKENS = st.lists(st.integers(0, 3), max_size=6)
AMOUNTS = st.floats(-2, 2)


@given(TOKENS, TOKENS, AMOUNTS, AMOUNTS, st.floats(0.1, 10), st.dictionaries(st.integers(0, 3), AMOUNTS))
def test_scores_follow_the_definitions(
    prompt: list[int], drawn: list[int], presence: float, frequency: float, repetition: float, bias: dict[int, float]
) -> None:
    sampling = Sampling(
        presence_penalty=presence,
        frequency_penalty=frequency,
        repetition_penalty=repetition,
        logit_bias=tuple(bias.items()),
    )
    adjustment = Adjustment(sampling, prompt)
    for token in drawn:
        adjustment.drew(token)
    assert adjustment.of(LOGITS).tolist() == pytest.approx(plainly(sampling, prompt, drawn), abs=1e-5)
    assert LOGITS.tolist() == [2.0, -1.0, 0.5, 0.0], "the model's scores are left alone"


def test_where_nothing_is_asked_nothing_is_computed() -> None:
    adjustment = Adjustment(Sampling(), [0, 1])
    adjustment.drew(0)
    assert adjustment.of(LOGITS) is LOGITS


def test_a_banned_token_is_not_drawn_whatever_its_score() -> None:
    drawn = {Sampler(Sampling(seed=seed)).draw(torch.tensor([50.0, 0.0, 0.0]), banned=[0]).token for seed in range(40)}
    assert drawn == {1, 2}


def test_a_bias_decides_and_logprobs_stay_the_models_own() -> None:
    drawn = Sampler(Sampling(temperature=0, logit_bias=((3, 100.0),), logprobs=1)).draw(LOGITS)
    assert drawn.token == 3
    assert drawn.logprob == pytest.approx(float(LOGITS.log_softmax(-1)[3]))
    assert math.isclose(drawn.top[0][1], float(LOGITS.log_softmax(-1)[0]), abs_tol=1e-6)


def test_a_presence_penalty_makes_an_answer_move_on() -> None:
    sampler = Sampler(Sampling(temperature=0, presence_penalty=2.0))
    assert [sampler.draw(torch.tensor([1.0, 0.5, 0.0])).token for _ in range(3)] == [0, 1, 2]
