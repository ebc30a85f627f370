"""Sequences share steps, begin in order, and always give their room back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadRequest, RequestError, StepFailed, Unavailable
from engine.events import Finished, GenerateRequest, Reason, Sampling
from engine.kv_cache import KvCache
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from tests.engine.stand_ins import Heard, LetterTokenizer, ScriptedRunner, small_config


class Bench:
    """A lane over a scripted model, stepped by hand."""

    def __init__(self, capacity: int = 1000, fails_at: tuple[int, ...] = (), **limits: int) -> None:
        self.runner = ScriptedRunner(fails_at)
        self.lane = GenerateLane(self.runner, KvCache(small_config(), capacity, block=1), 600, **limits)

    def add(self, *prompt: int, max_tokens: int = 3, deadline: float = 1e9) -> tuple[Sequence, Heard]:
        heard = Heard()
        request = GenerateRequest(prompt or (0,), max_tokens, deadline, Sampling(temperature=0))
        sequence = Sequence(request, LetterTokenizer(), frozenset({25}), heard)
        self.lane.add([sequence])
        return sequence, heard

    def step(self, now: float = 0.0) -> bool:
        if (work := self.lane.next(now)) is None:
            return False
        try:
            work.run()
        except RuntimeError:
            work.fail(StepFailed("step_failed", "x"))
        return True

    def drain(self) -> None:
        while self.step():
            pass
        assert (self.lane.pending, self.lane.reserved, self.lane.cache.held) == (0, 0, 0)


def test_sequences_of_different_age_share_steps() -> None:
    bench = Bench()
    _, first = bench.add(0, max_tokens=4)
    bench.step()
    _, second = bench.add(10, 11, max_tokens=2)
    bench.drain()

    assert (first.text, second.text) == ("bcde", "mn")
    assert bench.runner.steps[1] == [(1,), (10, 11)]
    assert len(bench.runner.steps) == 4


def test_a_long_prompt_is_cut_into_steps_and_others_go_on() -> None:
    bench = Bench()
    _, running = bench.add(0, max_tokens=20)
    bench.step()
    _, long = bench.add(*[3] * 500, max_tokens=1)
    bench.drain()

    sizes = [sum(len(ids) for ids in step) for step in bench.runner.steps]
    assert max(sizes) <= 256
    assert all((index == 0 or len(step[0]) == 1) for index, step in enumerate(bench.runner.steps))
    assert long.text == "e"
    assert running.end == Finished(Reason.LENGTH, 20)


def test_what_can_never_fit_is_refused_at_once() -> None:
    bench = Bench(capacity=20)
    with pytest.raises(BadRequest) as caught:
        bench.add(*[1] * 10, max_tokens=11)
    assert caught.value.code == "context_length_exceeded"
    assert "21" in caught.value.problem
    assert "20" in caught.value.problem
    bench.add(*[1] * 10, max_tokens=10)
    bench.drain()


def test_what_does_not_fit_now_waits_its_turn() -> None:
    bench = Bench(capacity=12)
    _, first = bench.add(1, max_tokens=10)
    _, second = bench.add(2, max_tokens=10)
    _, small = bench.add(3, max_tokens=2)
    bench.step()
    assert len(bench.runner.steps[0]) == 1
    bench.drain()

    assert [heard.end for heard in (first, second, small)] == [
        Finished(Reason.LENGTH, 10),
        Finished(Reason.LENGTH, 10),
        Finished(Reason.LENGTH, 2),
    ]


def test_a_full_queue_refuses_and_takes_none_of_a_group() -> None:
    bench = Bench(max_waiting=2)
    bench.add(1)
    bench.add(1)
    with pytest.raises(Unavailable) as caught:
        bench.add(1)
    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert bench.lane.pending == 2


def test_no_more_than_the_limit_run_at_once() -> None:
    bench = Bench(max_running=2)
    for _ in range(5):
        bench.add(1)
    bench.step()
    assert len(bench.runner.steps[0]) == 2
    bench.drain()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_sequence_leaves_at_the_next_step(steps: int) -> None:
    bench = Bench()
    sequence, heard = bench.add(1, max_tokens=50)
    _, other = bench.add(2, max_tokens=3)
    for _ in range(steps):
        bench.step()
    sequence.cancelled = True
    bench.drain()

    assert not any(isinstance(event, Finished) for event in heard.events)
    assert other.end == Finished(Reason.LENGTH, 3)


@pytest.mark.parametrize("steps", [0, 2])
def test_a_late_sequence_is_told_and_leaves(steps: int) -> None:
    bench = Bench()
    _, heard = bench.add(1, max_tokens=50, deadline=10)
    for _ in range(steps):
        bench.step(now=5)
    while bench.step(now=11):
        pass

    assert isinstance(heard.end, RequestError)
    assert (heard.end.status, heard.end.code) == (503, "deadline_exceeded")
    bench.drain()


def test_a_failed_step_takes_only_its_own_sequences() -> None:
    bench = Bench(fails_at=(1,), max_running=1)
    _, lost = bench.add(1)
    _, next_one = bench.add(5)
    bench.drain()

    assert isinstance(lost.end, StepFailed)
    assert next_one.end == Finished(Reason.LENGTH, 3)


def test_closing_tells_waiting_and_running_ones() -> None:
    bench = Bench(max_running=1)
    heard = [bench.add(1)[1], bench.add(2)[1]]
    bench.step()
    bench.lane.close(Unavailable("draining", "x"))

    assert all(isinstance(one.end, Unavailable) for one in heard)
    assert (bench.lane.pending, bench.lane.reserved) == (0, 0)


def test_what_is_not_finite_fails_its_own_sequence_and_is_not_kept() -> None:
    bench = Bench()
    bench.runner.poisoned = {7}
    _, sound = bench.add(1)
    _, poisoned = bench.add(5, 6, 7)
    bench.drain()

    assert sound.end == Finished(Reason.LENGTH, 3)
    assert isinstance(poisoned.end, StepFailed)
    assert poisoned.end.code == "not_finite"
    assert bench.lane.cache.known([5, 6, 7], 3) == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_block_comes_back_whichever_way_a_sequence_leaves(data: st.DataObject) -> None:
    """Answered, cancelled, too late, failed, closed: afterwards no block is held, and all of them can be had again."""
    lane = GenerateLane(
        ScriptedRunner(fails_at=data.draw(st.sets(st.integers(0, 20), max_size=4))),
        KvCache(small_config(), 48, block=4),
        600,
        max_running=3,
        step_tokens=6,
    )
    told: list[tuple[Sequence, Heard]] = []
    for now in range(data.draw(st.integers(1, 20))):
        if data.draw(st.booleans()):
            prompt = (1,) * data.draw(st.integers(1, 12)) + (data.draw(st.integers(2, 4)),)
            request = GenerateRequest(prompt, data.draw(st.integers(1, 4)), now + data.draw(st.sampled_from((2.5, 99))))
            told.append((Sequence(request, LetterTokenizer(), frozenset({25}), heard := Heard()), heard))
            lane.add([told[-1][0]])
        if told and data.draw(st.booleans()):
            data.draw(st.sampled_from(told))[0].cancelled = True
        if (work := lane.next(now)) is not None:
            try:
                work.run()
            except RuntimeError:
                work.fail(StepFailed("step_failed", "x"))
        assert lane.cache.held <= lane.cache.blocks
    lane.close(Unavailable("draining", "x"))

    assert (lane.pending, lane.reserved, lane.cache.held) == (0, 0, 0)
    assert all(sequence.cancelled or heard.end for sequence, heard in told)
    whole = lane.cache.reserve(48)
    assert whole is not None
    assert sorted(whole.table) == list(range(12))


def test_a_beginning_that_another_is_computing_is_waited_for_and_others_go_ahead() -> None:
    runner = ScriptedRunner()
    lane = GenerateLane(runner, KvCache(small_config(), 400, block=4), 600, step_tokens=8)
    begun = [(1,) * 20 + (tail,) for tail in (2, 3)] + [(9, 9)]
    for prompt in begun:
        request = GenerateRequest(prompt, 1, 1e9, Sampling(temperature=0))
        lane.add([Sequence(request, LetterTokenizer(), frozenset(), Heard())])
    sizes = []
    while (work := lane.next(0)) is not None:
        work.run()
        sizes.append([len(ids) for ids in runner.steps[-1]])

    assert sizes == [[8], [8], [5, 2], [1]]
    assert lane.counters.reused_tokens == 20
