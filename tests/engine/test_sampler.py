"""Tokens follow the logits, the limits and the seed, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from engine.errors import StepFailed
from engine.events import Sampling
from engine.sampler import Sampler, limited

LOGITS = torch.tensor([0.0, 3.0, 2.0, 1.0])


def kept(**limits: float) -> list[int]:
    probabilities = LOGITS.softmax(-1)
    return limited(probabilities, Sampling(**limits)).nonzero().flatten().tolist()


def test_temperature_zero_takes_the_most_probable() -> None:
    assert {Sampler(Sampling(temperature=0)).draw(LOGITS).token for _ in range(20)} == {1}


def test_the_same_seed_draws_the_same_tokens() -> None:
    draws = [[Sampler(Sampling(seed=seed)).draw(torch.zeros(1000)).token for _ in range(3)] for seed in (4, 4, 5)]
    assert draws[0] == draws[1] != draws[2]


def test_without_a_seed_two_requests_differ() -> None:
    assert len({Sampler(Sampling()).draw(torch.zeros(100_000)).token for _ in range(5)}) > 1


def test_draws_follow_the_probabilities() -> None:
    sampler = Sampler(Sampling(seed=1))
    drawn = [sampler.draw(LOGITS).token for _ in range(4000)]
    assert drawn.count(1) / 4000 == pytest.approx(float(LOGITS.softmax(-1)[1]), abs=0.03)


def test_limits_keep_what_they_say() -> None:
    assert kept() == [0, 1, 2, 3]
    assert kept(top_k=2) == [1, 2]
    assert kept(top_p=0.5) == [1]
    assert kept(top_p=0.7) == [1, 2]
    assert kept(min_p=0.2) == [1, 2]
    assert kept(top_p=0.0) == [1]
    assert kept(top_k=99) == [0, 1, 2, 3]


def test_logprobs_are_the_models_own_whatever_the_temperature() -> None:
    drawn = Sampler(Sampling(temperature=0, top_k=1, logprobs=2)).draw(LOGITS)

    wanted = LOGITS.log_softmax(-1)
    assert drawn.logprob == pytest.approx(float(wanted[1]))
    assert [token for token, _ in drawn.top] == [1, 2]
    assert [value for _, value in drawn.top] == pytest.approx([float(wanted[1]), float(wanted[2])])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    with pytest.raises(StepFailed):
        Sampler(Sampling(temperature=0)).draw(torch.tensor([0.0, bad]))


@pytest.mark.parametrize("limits", [{}, {"top_k": 5}, {"top_p": 0.5, "temperature": 2.0}])
def test_tokens_are_those_that_torch_would_draw(limits: dict[str, float]) -> None:
    sampling, generator = Sampling(seed=7, **limits), torch.Generator().manual_seed(7)  # type: ignore[arg-type]
    sampler, logits = Sampler(sampling), torch.randn(300, generator=torch.Generator().manual_seed(1))
    probabilities = limited((logits / sampling.temperature).softmax(-1), sampling)
    expected = [int(torch.multinomial(probabilities, 1, generator=generator)) for _ in range(20)]
    assert [sampler.draw(logits).token for _ in range(20)] == expected


def test_what_is_drawn_ahead_is_what_would_be_drawn() -> None:
    logits = torch.randn(300)
    for sampling in (Sampling(seed=3), Sampling(temperature=0), Sampling(seed=4, min_p=0.1)):
        ahead = Sampler(sampling).ahead(logits)
        assert ahead is not None
        assert int(ahead) == Sampler(sampling).draw(logits).token


@pytest.mark.parametrize("changes", [{"logprobs": 0}, {"presence_penalty": 1.0}, {"logit_bias": ((1, 2.0),)}])
def test_what_needs_more_than_scores_is_not_drawn_ahead(changes: dict[str, object]) -> None:
    assert Sampler(Sampling(**changes)).ahead(LOGITS) is None  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_draws_repeat_and_nothing_is_left_on_the_processor() -> None:
    """Its twins are the tests above."""
    logits = LOGITS.cuda()
    kinds = (Sampling(seed=1), Sampling(seed=1, logprobs=2, repetition_penalty=1.5, frequency_penalty=0.1))
    for sampling in (*kinds, Sampling(seed=2, logit_bias=((2, 1.0),), top_p=0.9)):
        one, other = (Sampler(sampling, [1, 2]) for _ in range(2))
        allowed = torch.tensor([True, True, True, False])
        drawn = [[sampler.draw(logits, (0,), allowed).token for _ in range(9)] for sampler in (one, other)]
        assert drawn[0] == drawn[1]
        assert set(drawn[0]) <= {1, 2}
