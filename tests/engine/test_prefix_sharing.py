"""A score is the same whoever asked before, beside or after: shared beginnings change the cost and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.adapters import Adapter, load_adapter
from engine.errors import RequestError
from tests.engine import adapting
from tests.engine.model_cases import Pair, prompt
from tests.engine.scoring import Asked, Scorer, alone

EXACT = {"atol": 1e-4, "rtol": 0}
ROUNDED = {"atol": 1e-4, "rtol": 5e-5}
"""With adapters on random weights scores grow to 8 and more, and what fp32 rounds away grows with them."""
SAME = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=["llama_long_rope", "scout", "guard"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


def family(draw: random.Random, roots: list[list[int]]) -> tuple[int, ...]:
    """A prompt that shares a beginning of any length with others."""
    root = draw.choice(roots)
    return (*root[: draw.randrange(1, len(root))], *(draw.randrange(9, 320) for _ in range(draw.randrange(0, 12))))


@SAME
@given(seed=st.integers(0, 10_000), blocks=st.integers(5, 12))
def test_any_interleaving_under_a_tiny_budget_scores_as_alone(pair: Pair, seed: int, blocks: int) -> None:
    """Beginnings are shared, evicted, copied and recomputed; some callers leave half-way, some come too late."""
    draw = random.Random(seed)
    roots = [prompt(50, draw.randrange(3)) for _ in range(2)]
    scorer = Scorer(pair.runner, pair.cache(blocks * 16), max_running=3, step_tokens=24)
    asked: list[Asked] = []
    for now in range(30):
        if draw.random() < 0.6:
            late = draw.random() < 0.1
            new = [Asked(family(draw, roots), draw.choice((1, 1, 4)), now + 1.5 if late else 1e9) for _ in range(2)]
            scorer.add(*new)
            asked += new
        if asked and draw.random() < 0.1:
            draw.choice(asked).sequence.cancelled = True
        scorer.step(now)
    scorer.drain()

    answered = [one for one in asked if one.is_answered]
    assert answered
    assert all(one.is_answered or one.sequence.cancelled or _failed(one) for one in asked)
    for one in answered:
        for row, before in zip(one.scores, one.texts, strict=True):
            torch.testing.assert_close(row, alone(pair, before), **EXACT)


def _failed(one: Asked) -> bool:
    return bool(one.heard.events) and isinstance(one.heard.events[-1], RequestError)


def test_alone_packed_padded_and_prefix_cached_are_the_same(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "llama")
    prompts = [prompt(length, seed)[:length] for seed, length in enumerate((5, 33, 64, 17))]
    prompts.append([*prompts[1], 44])
    expected = [alone(pair, ids) for ids in prompts]
    longest = max(map(len, prompts))
    padded = torch.tensor([[8] * (longest - len(ids)) + ids for ids in prompts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    with torch.inference_mode():
        theirs = pair.oracle(padded, attention_mask=mask).logits[:, -1].log_softmax(-1)

    scorer = Scorer(pair.runner, pair.cache())
    packed, cached = scorer.scores(*prompts), scorer.scores(*reversed(prompts), at_once=False)[::-1]

    for at, ids in enumerate(prompts):
        for found in (packed[at][0], cached[at][0], theirs[at][[11, 47, 200]]):
            torch.testing.assert_close(found, expected[at], **EXACT, msg=f"prompt of {len(ids)}")


def test_a_growing_answer_costs_what_is_new_and_scores_as_from_scratch(tmp_path: Path) -> None:
    """A thousand tokens in windows of varying size, the last two tokens of each window moving, as BPE does."""
    pair = Pair(tmp_path, "long_llama")
    draw = random.Random(4)
    policy, suffix, end = prompt(140, 1), prompt(56, 2), 200
    answer = prompt(1000, 3)
    scorer = Scorer(pair.runner, pair.cache(2048))
    scorer.scores([*policy, *suffix])
    judged = computed = windows = 0
    while judged < len(answer):
        judged = min(len(answer), judged + draw.randrange(20, 90))
        text = [*policy, *answer[:judged], *([9, 10] if judged < len(answer) else []), *suffix]
        asked = Asked(tuple(text)), Asked((*text, end))
        scorer.add(*asked)
        scorer.drain()
        windows += 1
        computed += sum(one.computed for one in asked)
        for one, ids in zip(asked, (text, [*text, end]), strict=True):
            torch.testing.assert_close(one.scores[0], alone(pair, ids), **EXACT)

    assert windows > 10
    assert computed <= len(answer) + windows * (len(suffix) + 16)


def test_others_wait_for_a_beginning_that_is_being_computed(tmp_path: Path) -> None:
    """Twenty checks of one cold policy compute it once, not twenty times."""
    pair = Pair(tmp_path, "llama")
    policy = prompt(150, 1)
    asked = [Asked((*policy, *prompt(10, 50 + at))) for at in range(20)]
    scorer = Scorer(pair.runner, pair.cache(8192))
    for one in asked:
        scorer.add(one)
    scorer.drain()

    # The policy ends in the middle of a block; the sixteen tokens of that block may be computed more than once.
    assert sum(one.computed for one in asked) <= 150 + 20 * (10 + 16)
    for one in asked:
        torch.testing.assert_close(one.scores[0], alone(pair, one.sequence.request.prompt), **EXACT)


def test_a_lower_priority_number_begins_first(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "llama")
    scorer = Scorer(pair.runner, pair.cache(), max_running=1)
    order: list[int] = []
    asked = [Asked((50 + at,), priority=priority) for at, priority in enumerate((5, 0, -3, 0))]
    for one in asked:
        scorer.add(one)
    while scorer.step():
        order += [at for at, one in enumerate(asked) if one.is_answered and at not in order]

    assert order == [2, 1, 3, 0]


@SAME
@given(seed=st.integers(0, 10_000), blocks=st.integers(6, 12))
def test_adapters_share_a_cache_and_no_keys(adapted: Adapted, seed: int, blocks: int) -> None:
    """Base and two adapters, prompts that begin alike, in pieces, evicted and recomputed: each as its merged model."""
    draw = random.Random(seed)
    roots = [prompt(50, draw.randrange(3)) for _ in range(2)]
    scorer = Scorer(adapted.pair.runner, adapted.pair.cache(blocks * 16), max_running=4, step_tokens=24)
    asked: list[tuple[int, Asked]] = []
    for _ in range(14):
        which = draw.randrange(3)
        new = Asked(family(draw, roots), draw.choice((1, 3)), adapter=adapted.adapters[which])
        scorer.add(new)
        asked.append((which, new))
        if draw.random() < 0.6:
            scorer.step()
    scorer.drain()

    for which, one in asked:
        assert one.is_answered
        for row, before in zip(one.scores, one.texts, strict=True):
            torch.testing.assert_close(row, adapted.alone(which, before), **ROUNDED)


def test_a_beginning_is_taken_over_within_one_adapter_only(adapted: Adapted) -> None:
    scorer = Scorer(adapted.pair.runner, adapted.pair.cache())
    ids = tuple(prompt(100, 40))
    computed = []
    for which in (0, 1, 2, 1, 0):
        asked = Asked(ids, adapter=adapted.adapters[which])
        scorer.add(asked)
        scorer.drain()
        computed.append(asked.computed)
        torch.testing.assert_close(asked.scores[0], adapted.alone(which, list(ids)), **ROUNDED)

    assert computed == [100, 100, 100, 1, 1]


def test_a_prompt_does_not_wait_for_the_same_one_with_another_adapter(adapted: Adapted) -> None:
    scorer = Scorer(adapted.pair.runner, adapted.pair.cache(), step_tokens=60)
    asked = [Asked(tuple(prompt(48, 41)), adapter=adapted.adapters[which]) for which in (0, 1)]
    scorer.add(asked[0])
    scorer.add(asked[1])
    scorer.step()
    assert scorer.lane.waiting == 0
    scorer.drain()


class Adapted:
    """A model, two adapters, and what each of the three is when it is merged."""

    def __init__(self, directory: Path, case: str) -> None:
        self.pair = Pair(directory / "base", case)
        written = [
            adapting.write(directory / str(seed), self.pair.oracle, seed=seed, rank=2 + 3 * seed, alpha=2)
            for seed in range(2)
        ]
        loaded = [load_adapter(one, self.pair.config, torch.float32) for one in written]
        self.adapters: list[Adapter | None] = [None, *loaded]
        self._models = [self.pair.oracle, *(adapting.merged(self.pair.oracle, one) for one in written)]

    def alone(self, which: int, ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = self._models[which](torch.tensor([ids]), use_cache=False).logits[0, -1]
        return logits.log_softmax(-1)[[11, 47, 200]]


@pytest.fixture(scope="module", params=["llama_long_rope", "scout"])
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    return Adapted(tmp_path_factory.mktemp(request.param), request.param)
