"""Deterministic mode: equal to the last bit, however requests arrive. Without it, in bf16: how far scores drift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.config import read_config
from engine.kv_cache import KvCache
from engine.lanes import FIXED_PIECE
from engine.runner import ModelRunner
from engine.weights import load_weights
from tests.engine import tiny
from tests.engine.model_cases import Pair, prompt
from tests.engine.scoring import Asked, Scorer, alone

POLICY = prompt(150, 1)
PROMPTS = [[*POLICY, *prompt(length, seed)] for seed, length in enumerate((4, 60, 130, 61))] + [POLICY, prompt(9, 8)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("m"), "long_llama")


@pytest.fixture(scope="module")
def halved(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> ModelRunner:
    """The same weights in bf16."""
    directory: Path = tmp_path_factory.mktemp("h")
    again = Pair(directory, "long_llama")
    return ModelRunner(again.config, load_weights(directory, again.config, torch.bfloat16))


def scorer(pair: Pair, runner: ModelRunner, dtype: torch.dtype, positions: int = 4096) -> Scorer:
    return Scorer(runner, KvCache(pair.config, positions, dtype, grain=FIXED_PIECE))


def in_one_request(one: Scorer) -> list[torch.Tensor]:
    return one.scores(*PROMPTS)


def backwards_one_by_one(one: Scorer) -> list[torch.Tensor]:
    return one.scores(*reversed(PROMPTS), at_once=False)[::-1]


def twice(one: Scorer) -> list[torch.Tensor]:
    one.scores(*PROMPTS)
    return one.scores(*PROMPTS, at_once=False)


def beside_a_chat_that_said_the_same(one: Scorer) -> list[torch.Tensor]:
    """An answer drawn token by token leaves keys behind that a repeatable score must not build on."""
    one.add(Asked(tuple(PROMPTS[0][:100]), 40))
    one.drain()
    return one.scores(*PROMPTS)


ARRIVALS = [in_one_request, backwards_one_by_one, twice, beside_a_chat_that_said_the_same]


@pytest.mark.parametrize("arrive", ARRIVALS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_are_equal_to_the_last_bit_however_requests_arrive(
    pair: Pair, halved: ModelRunner, dtype: torch.dtype, arrive: Callable[[Scorer], list[torch.Tensor]]
) -> None:
    runner = pair.runner if dtype == torch.float32 else halved
    expected = [scorer(pair, runner, dtype).scores(ids)[0] for ids in PROMPTS]

    found = arrive(scorer(pair, runner, dtype))

    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_scores_are_equal_under_a_tiny_budget_too(pair: Pair) -> None:
    expected = [scorer(pair, pair.runner, torch.float32).scores(ids)[0] for ids in PROMPTS]
    tiny = scorer(pair, pair.runner, torch.float32, positions=320)
    found = [tiny.scores(ids)[0] for ids in (*PROMPTS, *PROMPTS)]

    assert tiny.lane.cache.evicted > 0
    assert all(torch.equal(one, other) for one, other in zip(found, expected * 2, strict=True))


@pytest.mark.parametrize("chunk", [16, 40, 100])
def test_scores_are_equal_over_borders_of_chunks_too(chunk: int, tmp_path: Path) -> None:
    """Pieces end at borders as well as at multiples of 64, wherever a prompt begins to be computed."""
    directory = tiny.llama4(tmp_path, attention_chunk_size=chunk)
    config = read_config(directory)
    runner, policy = ModelRunner(config, load_weights(directory, config)), prompt(90, 1)
    prompts = [[*policy, *prompt(length, length)] for length in (4, 60, 130, 61)] + [policy]

    def cached(positions: int) -> Scorer:
        return Scorer(runner, KvCache(config, positions, grain=FIXED_PIECE))

    expected = [cached(1024).scores(ids)[0] for ids in prompts]
    shared = cached(1024)
    for one in (shared, shared, cached(224)):
        found = one.scores(*reversed(prompts), at_once=False)[::-1]
        assert all(torch.equal(score, other) for score, other in zip(found, expected, strict=True))
    assert shared.lane.counters.reused_tokens >= 64 * len(prompts)


def test_repeatable_scores_are_the_right_ones(pair: Pair) -> None:
    for ids, found in zip(PROMPTS, in_one_request(scorer(pair, pair.runner, torch.float32)), strict=True):
        torch.testing.assert_close(found[0], alone(pair, ids), atol=1e-4, rtol=0)


def test_in_bf16_scores_drift_with_what_is_beside_them(pair: Pair, halved: ModelRunner) -> None:
    """The probability of a verdict, on a model where every weight is random; `pytest -rP` shows the drift itself."""

    def unsafe(scores: torch.Tensor) -> torch.Tensor:
        return scores[:, :2].softmax(-1)[:, 1]

    shared = Scorer(halved, KvCache(pair.config, 4096, torch.bfloat16))
    together = torch.cat([unsafe(one) for one in shared.scores(*PROMPTS)])
    lonely = torch.cat(
        [unsafe(Scorer(halved, KvCache(pair.config, 4096, torch.bfloat16)).scores(ids)[0]) for ids in PROMPTS]
    )
    exact = torch.stack([unsafe(alone(pair, ids)[None])[0] for ids in PROMPTS])
    with_the_batch, from_fp32 = (float((together - other).abs().max()) for other in (lonely, exact))
    print(f"largest drift of a probability: {with_the_batch:.4f} with the batch, {from_fp32:.4f} from fp32")

    assert with_the_batch < 0.03
    assert from_fp32 < 0.1
