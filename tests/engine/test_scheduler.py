"""Sequences share steps, begin in order, and always give their room back."""

from __future__ import annotations

import pytest

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
