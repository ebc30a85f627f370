"""A lane over a real tiny model, asked the way a guard asks, and the same scores computed alone without any cache."""

from __future__ import annotations

from collections.abc import Sequence as ListOf

import torch
from torch import Tensor

from engine.chain import chained
from engine.events import Finished, GenerateRequest, Grown, Sampling
from engine.kv_cache import KvCache
from engine.runner import Runner
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from tests.engine.model_cases import Pair
from tests.engine.stand_ins import Heard, LetterTokenizer

REPORTED = (11, 47, 200)
"""Tokens whose log-probabilities are asked for: safe, unsafe and a line break, so to say."""


class Asked:
    """One prompt on its way, and what came of it."""

    def __init__(self, prompt: tuple[int, ...], max_tokens: int = 1, deadline: float = 1e9, **options: object) -> None:
        self.heard = Heard()
        sampling = Sampling(temperature=0, logprobs=0, reported=REPORTED)
        request = GenerateRequest(prompt, max_tokens, deadline, sampling, ignores_end=True, **options)  # type: ignore[arg-type]
        self.sequence = Sequence(request, LetterTokenizer(), frozenset(), self.heard)

    @property
    def is_answered(self) -> bool:
        return bool(self.heard.events) and isinstance(self.heard.events[-1], Finished)

    @property
    def computed(self) -> int:
        assert isinstance(self.heard.end, Finished)
        return self.heard.end.computed

    @property
    def scores(self) -> Tensor:
        """Log-probabilities of the reported tokens, one row for each token drawn."""
        drawn = [one for event in self.heard.events if isinstance(event, Grown) for one in event.tokens]
        return torch.tensor([[dict(one.top)[token] for token in REPORTED] for one in drawn])

    @property
    def texts(self) -> list[list[int]]:
        """What stood before each token drawn."""
        ids, begin = self.sequence.ids, len(self.sequence.request.prompt)
        return [ids[: begin + count] for count in range(len(self.scores))]


class Scorer:
    """One model with one cache."""

    def __init__(self, runner: Runner, cache: KvCache, **limits: int) -> None:
        self.lane = GenerateLane(runner, cache, 100_000, **limits)

    def add(self, *asked: Asked) -> None:
        sequences = [one.sequence for one in asked]
        self.lane.add(sequences if self.lane.is_deterministic else chained(sequences))

    def step(self, now: float = 0.0) -> bool:
        if (work := self.lane.next(now)) is None:
            return False
        work.run()
        return True

    def drain(self) -> None:
        while self.step():
            pass
        assert (self.lane.pending, self.lane.reserved, self.lane.cache.held) == (0, 0, 0)

    def scores(self, *prompts: ListOf[int], at_once: bool = True) -> list[Tensor]:
        """The scores of all, asked in one request or one after another."""
        asked = [Asked(tuple(prompt)) for prompt in prompts]
        for group in [asked] if at_once else [[one] for one in asked]:
            self.add(*group)
            self.drain()
        return [one.scores for one in asked]


def alone(pair: Pair, ids: ListOf[int]) -> Tensor:
    """One pass without a cache of anything."""
    return pair.last(list(ids)).log_softmax(-1)[list(REPORTED)]
