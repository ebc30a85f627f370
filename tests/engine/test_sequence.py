"""A sequence tells its receiver every token's text once, and its end once."""

from __future__ import annotations

import torch

from engine.errors import StepFailed
from engine.events import Finished, GenerateRequest, Grown, Reason, Sampling
from engine.kv_cache import KvCache
from engine.sequence import Sequence
from tests.engine.stand_ins import Heard, LetterTokenizer, small_config

END = 25


def sequence(prompt: tuple[int, ...] = (0, 1, 2), max_tokens: int = 8, **options: object) -> tuple[Sequence, Heard]:
    heard = Heard()
    sampling = Sampling(temperature=0, logprobs=options.pop("logprobs", None))  # type: ignore[arg-type]
    request = GenerateRequest(prompt, max_tokens, 1e9, sampling, **options)  # type: ignore[arg-type]
    one = Sequence(request, LetterTokenizer(), frozenset({END}), heard)
    one.slot = KvCache(small_config(), 100).reserve(request.positions)
    return one, heard


def says(one: Sequence, *tokens: int) -> None:
    for token in tokens:
        logits = torch.zeros(32)
        logits[token] = 9.0
        one.draw(logits)


def test_text_grows_and_the_end_token_is_not_text() -> None:
    one, heard = sequence()
    says(one, 7, 8, END)

    assert heard.text == "hi"
    assert heard.end == Finished(Reason.STOP, 3)


def test_max_tokens_end_an_answer() -> None:
    one, heard = sequence(max_tokens=2)
    says(one, 7, 8)

    assert (heard.text, heard.end) == ("hi", Finished(Reason.LENGTH, 2))


def test_a_stop_string_over_two_tokens_ends_an_answer() -> None:
    one, heard = sequence(stops=("ij",))
    says(one, 7, 8, 9)

    assert (heard.text, heard.end) == ("h", Finished(Reason.STOP, 3))


def test_held_back_text_comes_at_the_end_with_its_tokens() -> None:
    one, heard = sequence(max_tokens=2, stops=("ijk",), logprobs=1)
    says(one, 7, 8)

    assert heard.text == "hi"
    tokens = [drawn.token for event in heard.events if isinstance(event, Grown) for drawn in event.tokens]
    assert tokens == [7, 8]


def test_tokens_of_a_held_text_are_not_told_before_it() -> None:
    one, heard = sequence(stops=("ij",), logprobs=1)
    says(one, 8)

    assert heard.events == []


def test_half_a_character_at_the_end_is_shown() -> None:
    one, heard = sequence(max_tokens=2)
    says(one, 7, 30)

    assert heard.text == "h\ufffd"


def test_a_prompt_runs_in_pieces_and_wants_logits_at_its_end() -> None:
    one, _ = sequence(prompt=(0, 1, 2))
    assert one.slot is not None
    assert list(one.next_ids(2)) == [0, 1]
    assert one.wanted(2) == []
    one.slot.filled = 2
    assert list(one.next_ids(2)) == [2]
    assert one.wanted(1) == [0]
    one.slot.filled = 3
    says(one, 7)
    assert list(one.next_ids(9)) == [7]
    assert one.wanted(1) == [0]


def test_the_end_counts_what_was_computed_and_what_was_not() -> None:
    one, heard = sequence(prompt=(0, 1, 2, 3), max_tokens=2)
    one.computed = 3
    says(one, 7, 8)

    assert isinstance(heard.end, Finished)
    assert (heard.end.reused, heard.end.computed) == (2, 3)


def test_one_token_that_is_the_end_is_reported_all_the_same() -> None:
    one, heard = sequence(max_tokens=1, logprobs=2)
    says(one, END)

    (drawn,) = [drawn for event in heard.events if isinstance(event, Grown) for drawn in event.tokens]
    assert drawn.token == END
    assert drawn.logprob is not None
    assert (heard.text, heard.end) == ("", Finished(Reason.STOP, 1))


def test_scores_that_are_not_finite_end_it_with_an_error() -> None:
    one, heard = sequence()
    one.take(torch.full((1, 32), float("nan")))

    assert isinstance(heard.end, StepFailed)
    assert heard.end.code == "not_finite"
    assert (one.ended, one.is_sound) == (True, False)


def test_ignoring_the_end_goes_on_to_max_tokens() -> None:
    one, heard = sequence(max_tokens=3, ignores_end=True)
    says(one, END, END, END)

    assert heard.end == Finished(Reason.LENGTH, 3)


def test_a_failure_is_told_once() -> None:
    one, heard = sequence()
    one.fail(StepFailed("step_failed", "x"))
    one.fail(StepFailed("step_failed", "y"))

    assert len(heard.events) == 1
