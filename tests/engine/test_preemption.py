"""An answer that had to yield is the one it would have been: same tokens, told once, whatever its request asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.adapters import Adapter, load_adapter
from engine.constraint import Constraints
from engine.errors import RequestError
from engine.events import Drawn, Finished, GenerateRequest, Grown, Sampling
from engine.grammar import of_regex
from engine.kv_cache import KvCache
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from tests.engine import adapting
from tests.engine.constrained import STOP_IDS, tokenizer
from tests.engine.model_cases import Pair, prompt
from tests.engine.stand_ins import Heard, Starved

PLENTY, LITTLE = 2048, 40
"""Positions in all layers. What is little holds two of the answers below to their end, and begins more."""


@pytest.fixture(scope="module", params=["scout", "maverick", "llama_long_rope"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


def requests(adapter: Adapter | None) -> list[GenerateRequest]:
    """One of each kind that keeps something in mind while it answers."""
    plain = GenerateRequest(tuple(prompt(20, 1)), 30, 1e9, Sampling(seed=11), ignores_end=True)
    constraints = Constraints(tokenizer(), 320, STOP_IDS)
    matches = constraints.compiled(of_regex("[a-f]{4,30}(, [a-f]{2,9}){0,9}", "x"))
    return [
        plain,
        replace(plain, prompt=tuple(prompt(9, 2)), sampling=Sampling(temperature=0, logprobs=2)),
        replace(plain, prompt=tuple(prompt(33, 3)), sampling=Sampling(seed=3, top_p=0.9, frequency_penalty=0.7)),
        replace(plain, sampling=Sampling(seed=12, repetition_penalty=1.3, min_p=0.02)),
        replace(plain, prompt=tuple(prompt(7, 4)), constraint=matches, ignores_end=False),
        replace(plain, prompt=tuple(prompt(30, 5)), adapter=adapter, stops=("zzz",)),
        replace(plain, prompt=tuple(prompt(36, 6)), max_tokens=4, echo="", sampling=Sampling(seed=1, logprobs=1)),
    ]


def told(heard: Heard) -> tuple[str, list[Drawn], Finished]:
    end = heard.end
    assert isinstance(end, Finished)
    grown = [event for event in heard.events if isinstance(event, Grown)]
    return "".join(one.text for one in grown), [drawn for one in grown for drawn in one.tokens], end


def answers(
    pair: Pair, asked: list[GenerateRequest], capacity: int, holds: int = 1000
) -> tuple[list[Heard], GenerateLane]:
    cache = KvCache(pair.config, capacity)
    lane = GenerateLane(Starved(pair.runner, holds), cache, 10_000, step_tokens=24)
    heard = [Heard() for _ in asked]
    lane.add([Sequence(one, tokenizer(), STOP_IDS, ear) for one, ear in zip(asked, heard, strict=True)])
    with torch.inference_mode():
        while (work := lane.next(0)) is not None:
            work.run()
            assert cache.held <= cache.blocks
    assert (lane.pending, lane.reserved, cache.held) == (0, 0, 0)
    return heard, lane


def test_answers_that_yield_are_those_that_never_did(pair: Pair, tmp_path: Path) -> None:
    adapter = load_adapter(adapting.write(tmp_path / "adapter", pair.oracle), pair.config, torch.float32)
    capacity = 80 if pair.config.is_dense_family else LITTLE
    asked = requests(adapter)
    expected, calm = answers(pair, asked, PLENTY)
    found, pressed = answers(pair, asked, capacity)

    assert calm.counters.preempted == 0
    assert pressed.counters.preempted >= 2
    for (text, tokens, end), (text_0, tokens_0, end_0) in zip(map(told, found), map(told, expected), strict=True):
        assert text == text_0
        assert [one.token for one in tokens] == [one.token for one in tokens_0]
        assert (end.reason, end.generated) == (end_0.reason, end_0.generated)
        assert end.computed + end.reused == end_0.computed + end_0.reused
        for one, other in zip(tokens, tokens_0, strict=True):
            assert (one.logprob is None) == (other.logprob is None)
            assert one.logprob is None or abs(one.logprob - (other.logprob or 0)) < 1e-4


def test_the_scores_of_an_answer_that_yielded_are_those_of_full_passes(pair: Pair) -> None:
    """Borders of chunks are crossed in the prompt, in the answer and once more after it had to yield."""
    capacity = 80 if pair.config.is_dense_family else LITTLE
    plain = GenerateRequest((1,), 30, 1e9, Sampling(temperature=0, logprobs=0), ignores_end=True)
    asked = [replace(plain, prompt=tuple(prompt(length, length))) for length in (13, 30, 36)]
    found, lane = answers(pair, asked, capacity)

    assert lane.counters.preempted >= 1
    for request, (_, tokens, _) in zip(asked, map(told, found), strict=True):
        ids = [*request.prompt, *(one.token for one in tokens)]
        rows = pair.full(ids).log_softmax(-1)
        for at, one in enumerate(tokens, len(request.prompt)):
            assert one.logprob is not None
            assert abs(float(rows[at - 1, one.token]) - one.logprob) < 1e-4


def test_memory_that_is_short_takes_what_does_not_fit_and_leaves_the_others_their_answers(pair: Pair) -> None:
    asked = requests(None)
    expected, _ = answers(pair, asked, PLENTY)
    found, lane = answers(pair, asked, PLENTY, holds=9)

    lost = [heard.end for heard in found if not isinstance(heard.end, Finished)]
    assert all(isinstance(one, RequestError) and one.code == "out_of_memory" for one in lost)
    assert lost
    # A prompt of many tokens may come through in pieces that happen to be small; a short one always does.
    for heard, one in zip(found, asked, strict=True):
        assert len(one.prompt) > 9 or isinstance(heard.end, Finished)
    assert lane.counters.failed_steps == len(lost)
    for heard, calm in zip(found, expected, strict=True):
        if isinstance(heard.end, Finished):
            assert told(heard)[0] == told(calm)[0]
