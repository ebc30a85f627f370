"""Keys and values in eight bits: how far that moves scores, and that they do not depend on who else is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.config import read_config
from engine.kv_cache import KvCache
from engine.runner import ModelRunner, Run
from engine.weights import load_weights
from tests.engine.model_cases import Pair, prompt
from tests.engine.scoring import Scorer

STARTER = Path(__file__).parents[2] / "engine" / "starter" / "model"


@pytest.fixture(scope="module", params=["guard", "llama_long_rope"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Without routers: near ties between random experts flip at the smallest change and say nothing about keys."""
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


def logprobs(runner: ModelRunner, cache: KvCache, ids: list[int]) -> Tensor:
    slot = cache.reserve(len(ids), keeps_all=True)
    assert slot is not None
    found = runner.step([Run(slot, ids, range(len(ids)))]).log_softmax(-1)
    cache.release(slot)
    return found


@pytest.mark.parametrize(("kept_as", "mean", "most", "same"), [("int8", 0.03, 0.6, 0.9), ("fp8", 0.15, 1.8, 0.75)])
def test_scores_move_by_little(pair: Pair, kept_as: str, mean: float, most: float, same: float) -> None:
    for seed in range(4):
        ids = prompt(60, seed)
        exact, found = (logprobs(pair.runner, KvCache(pair.config, 64, kept_as=one), ids) for one in ("auto", kept_as))
        assert (exact - found).abs().mean() < mean
        assert (exact - found).abs().max() < most
        assert (exact.argmax(-1) == found.argmax(-1)).float().mean() > same


@pytest.mark.parametrize(("kept_as", "apart"), [("int8", 0.02), ("fp8", 0.1)])
def test_scores_alone_packed_in_pieces_and_from_the_cache_agree(pair: Pair, kept_as: str, apart: float) -> None:
    """To what a number that lies between two steps can move by falling to the other side."""
    prompts = [prompt(length, seed) for seed, length in enumerate((5, 33, 64, 17))]
    expected = [Scorer(pair.runner, KvCache(pair.config, 512, kept_as=kept_as)).scores(ids)[0] for ids in prompts]
    scorer = Scorer(pair.runner, KvCache(pair.config, 512, kept_as=kept_as), step_tokens=20)

    for found in (scorer.scores(*prompts), scorer.scores(*prompts, at_once=False)):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=apart, rtol=0)


@pytest.mark.parametrize("kept_as", ["int8", "fp8"])
def test_the_starter_engine_draws_the_same_tokens(kept_as: str) -> None:
    """A trained model, over a border of chunks."""
    config = read_config(STARTER)
    runner = ModelRunner(config, load_weights(STARTER, config))
    ids = [20 + (seed * 37) % 1900 for seed in range(540)]
    exact, found = (logprobs(runner, KvCache(config, 560, kept_as=one), ids) for one in ("auto", kept_as))

    assert (exact.argmax(-1) == found.argmax(-1)).float().mean() > 0.95
    assert (exact - found).gather(1, exact.argmax(-1, keepdim=True)).abs().mean() < 0.03
