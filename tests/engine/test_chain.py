"""Prompts that extend one another run once, and each still gets its own answer."""

from __future__ import annotations

import torch

from engine.chain import Chain, chained
from engine.errors import RequestError, StepFailed
from engine.events import Finished, GenerateRequest, Grown, Reason, Sampling
from engine.kv_cache import KvCache
from engine.sequence import Sequence
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import Heard, LetterTokenizer, small_config


def sequence(*prompt: int, max_tokens: int = 1) -> tuple[Sequence, Heard]:
    heard = Heard()
    request = GenerateRequest(prompt, max_tokens, 1e9, Sampling(temperature=0, logprobs=1))
    return Sequence(request, LetterTokenizer(), frozenset({25}), heard), heard


def says(*tokens: int) -> torch.Tensor:
    logits = torch.zeros(len(tokens), 32)
    for row, token in enumerate(tokens):
        logits[row, token] = 9.0
    return logits


def test_extensions_join_and_others_stay_alone() -> None:
    (short, _), (long, _), (other, _) = sequence(1, 2), sequence(1, 2, 3), sequence(1, 4)
    units = chained([long, other, short])

    assert other in units
    (chain,) = [unit for unit in units if isinstance(unit, Chain)]
    assert chain.request.prompt == (1, 2, 3)
    assert chain.first_wanted == 1


def test_answers_of_more_than_one_token_do_not_join() -> None:
    one, two = sequence(1, 2, max_tokens=2)[0], sequence(1, 2, 3)[0]
    assert set(chained([one, two])) == {one, two}


def test_each_member_gets_its_answer_where_its_prompt_ends() -> None:
    (short, first), (long, second) = sequence(1, 2), sequence(1, 2, 3, 4)
    (chain,) = chained([short, long])
    chain.slot = reserved(KvCache(small_config(), 32), 4)
    assert list(chain.next_ids(3)) == [1, 2, 3]
    assert chain.wanted(3) == [1]
    chain.take(says(7))
    chain.computed += 3
    chain.slot.filled = 3
    assert first.end == Finished(Reason.LENGTH, 1)
    assert not chain.ended

    assert list(chain.next_ids(3)) == [4]
    assert chain.wanted(1) == [0]
    chain.computed += 1
    chain.take(says(8))

    assert chain.ended
    assert (first.text, second.text) == ("h", "i")
    ends = [heard.end for heard in (first, second)]
    assert [(end.reused, end.computed) for end in ends if isinstance(end, Finished)] == [(2, 0), (0, 4)]


def test_equal_prompts_both_get_their_answer() -> None:
    (one, first), (two, second) = sequence(1, 2), sequence(1, 2)
    (chain,) = chained([one, two])
    assert chain.wanted(2) == [1, 1]
    chain.take(says(7, 7))

    assert (first.text, second.text) == ("h", "h")


def test_a_member_without_finite_scores_makes_the_whole_unsound() -> None:
    (short, first), (long, second) = sequence(1, 2), sequence(1, 2, 3)
    (chain,) = chained([short, long])
    chain.take(torch.full((1, 32), float("inf")))

    assert isinstance(first.end, StepFailed)
    assert second.events == []
    assert (chain.is_sound, chain.ended) == (False, False)


def test_failing_tells_all_and_a_chain_is_cancelled_when_nobody_is_left() -> None:
    (short, first), (long, second) = sequence(1, 2), sequence(1, 2, 3)
    (chain,) = chained([short, long])
    short.cancelled = True
    assert not chain.cancelled
    long.cancelled = True
    assert chain.cancelled
    chain.fail(StepFailed("step_failed", "x"))

    assert all(isinstance(heard.end, RequestError) for heard in (first, second))
    assert not any(isinstance(event, Grown) for event in (*first.events, *second.events))
