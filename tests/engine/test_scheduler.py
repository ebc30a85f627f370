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
from engine.unit import MAX_YIELDS, PATIENCE, Ticket
from tests.engine.stand_ins import Heard, LetterTokenizer, ScriptedRunner, small_config
from tests.engine.test_kv_layout import mixed


class Bench:
    """A lane over a scripted model, stepped by hand."""

    def __init__(self, capacity: int = 1000, fails_at: tuple[int, ...] = (), **limits: int) -> None:
        self.runner = ScriptedRunner(fails_at)
        self.lane = GenerateLane(self.runner, KvCache(small_config(), capacity, block=1), 600, **limits)

    def add(
        self, *prompt: int, max_tokens: int = 3, deadline: float = 1e9, priority: int = 0
    ) -> tuple[Sequence, Heard]:
        heard = Heard()
        request = GenerateRequest(prompt or (0,), max_tokens, deadline, Sampling(temperature=0), priority=priority)
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


def test_a_prompt_that_does_not_fit_now_waits_its_turn() -> None:
    bench = Bench(capacity=12)
    _, first = bench.add(*[1] * 10, max_tokens=2)
    _, second = bench.add(*[2] * 10, max_tokens=2)
    _, small = bench.add(3, max_tokens=2)
    bench.step()
    assert len(bench.runner.steps[0]) == 1
    bench.drain()

    assert [heard.end for heard in (first, second, small)] == [Finished(Reason.LENGTH, 2)] * 3


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


@pytest.mark.parametrize("size", [40, 13])
def test_answers_that_outgrow_the_room_yield_and_say_the_same(size: int) -> None:
    """With room for all at once, or for little more than one: every text is whole and told once."""
    bench = Bench(capacity=size)
    heard = [bench.add(at, at + 1, max_tokens=10)[1] for at in range(3)]
    bench.drain()

    assert [one.text for one in heard] == ["cdefghijkl", "defghijklm", "efghijklmn"]
    assert [one.end for one in heard] == [Finished(Reason.LENGTH, 10)] * 3
    assert all(isinstance(one.end, Finished) and one.end.computed == 11 for one in heard)
    assert (bench.lane.counters.preempted > 0) == (size == 13)


def test_the_youngest_yields_first_and_the_oldest_never() -> None:
    bench = Bench(capacity=13)
    for at in range(3):
        bench.add(at, max_tokens=10)
    ended = []
    while bench.step():
        ended += [list(ids) for ids in bench.runner.steps[-1] if ids]
    firsts = [next(at for at, ids in enumerate(ended) if ids == [number + 9]) for number in range(3)]
    assert firsts == sorted(firsts)
    assert bench.lane.counters.recomputed_tokens >= 0
    bench.drain()


def test_a_higher_class_takes_the_room_of_a_lower_one() -> None:
    bench = Bench(capacity=20, max_running=2)
    _, chat = bench.add(0, max_tokens=18, priority=1)
    _, other = bench.add(5, max_tokens=2, priority=1)
    bench.step()
    _, guard = bench.add(*[3] * 14, max_tokens=1, priority=0)
    bench.step()
    bench.step()

    assert guard.end == Finished(Reason.LENGTH, 1)
    assert bench.lane.counters.preempted >= 1
    bench.drain()
    assert chat.text == "bcdefghijklmnopqrs"
    assert other.end == Finished(Reason.LENGTH, 2)


def test_nobody_yields_for_ever_to_those_above() -> None:
    """A stream of small requests of a higher class, each of which could take the place of the answer."""
    bench = Bench(capacity=100, max_running=1)
    sequence, chat = bench.add(0, max_tokens=20, priority=1)
    for _ in range(300):
        if bench.lane.waiting < 2:
            bench.add(7, max_tokens=1, priority=0)
        bench.step()
        if sequence.ended:
            break
    assert chat.end == Finished(Reason.LENGTH, 20)
    assert bench.lane.counters.preempted <= MAX_YIELDS
    assert bench.lane.counters.steps < PATIENCE + 20 + 10
    bench.drain()


@pytest.mark.parametrize("begun", [False, True])
def test_room_that_never_comes_is_an_error_and_no_wait_for_ever(begun: bool) -> None:
    """Something holds blocks that is no sequence; a size that was promised is not there."""
    bench = Bench(capacity=12)
    _, heard = bench.add(1, max_tokens=10)
    if begun:
        bench.step()
        bench.lane.cache.trim(bench.lane._running[0].slot)
    lost = bench.lane.cache.reserve(9 if begun else 12)
    assert lost is not None
    while bench.step():
        pass
    assert isinstance(heard.end, StepFailed)
    assert heard.end.code == "out_of_memory"
    bench.lane.cache.release(lost)
    _, later = bench.add(1)
    bench.drain()
    assert later.end == Finished(Reason.LENGTH, 3)


def test_who_yielded_once_does_not_yield_again_to_its_equals() -> None:
    bench = Bench(capacity=24)
    bench.add(0, max_tokens=20)
    bench.add(1, max_tokens=12)
    for _ in range(14):
        bench.step()
    bench.add(2, max_tokens=3)
    bench.drain()
    assert bench.lane.counters.preempted <= 2


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_each_yields_a_bounded_number_of_times_and_all_are_answered(data: st.DataObject) -> None:
    bench = Bench(capacity=data.draw(st.integers(16, 40)), max_running=data.draw(st.integers(1, 5)))
    heard, classes = [], data.draw(st.sampled_from(((0,), (0, 1))))
    for _ in range(data.draw(st.integers(1, 12))):
        length, priority = data.draw(st.integers(1, 6)), data.draw(st.sampled_from(classes))
        first = data.draw(st.integers(0, 3))
        asked = bench.add(*[first] * length, max_tokens=data.draw(st.integers(1, 10)), priority=priority)
        heard.append((first, asked[0].request.max_tokens, asked[1]))
        if data.draw(st.booleans()):
            bench.step()
    bench.drain()

    for first, count, one in heard:
        assert one.end == Finished(Reason.LENGTH, count)
        assert one.text == "".join(chr(97 + first + at) for at in range(1, count + 1))
    assert bench.lane.counters.preempted <= len(heard) * (1 if len(classes) == 1 else MAX_YIELDS)


KINDS = {"full": (1, 0), "hybrid": (1, 3), "chunked": (0, 2)}


class Counting(GenerateLane):
    """Remembers who yielded how often."""

    most = 0

    def _yield(self, ticket: Ticket) -> None:
        super()._yield(ticket)
        self.most = max(self.most, ticket.yields)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_over_borders_of_chunks_too_yields_are_bounded_and_all_are_answered(data: st.DataObject) -> None:
    """With hardly more room than one text needs, and windows that come and go."""
    config = mixed(*KINDS[data.draw(st.sampled_from(sorted(KINDS)))], chunk=8, max_positions=600)
    cache = KvCache(config, data.draw(st.integers(16, 40)), block=4)
    lane = Counting(ScriptedRunner(), cache, 600, max_running=4, step_tokens=7)
    heard: list[tuple[int, Heard]] = []
    for _ in range(data.draw(st.integers(1, 10))):
        length, count = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 20))
        if length + count <= lane.max_model_len:
            prompt, priority = (data.draw(st.integers(1, 2)),) * length, data.draw(st.integers(0, 1))
            request = GenerateRequest(prompt, count, 1e9, Sampling(temperature=0), priority=priority)
            heard.append((count, Heard()))
            lane.add([Sequence(request, LetterTokenizer(), frozenset(), heard[-1][1])])
        if data.draw(st.booleans()) and (work := lane.next(0)) is not None:
            work.run()
    while (work := lane.next(0)) is not None:
        work.run()

    assert (lane.pending, cache.held) == (0, 0)
    assert [one.end for _, one in heard] == [Finished(Reason.LENGTH, count) for count, _ in heard]
    assert lane.most <= MAX_YIELDS


@settings(max_examples=90, deadline=None)
@given(data=st.data())
def test_every_block_comes_back_whichever_way_a_sequence_leaves(data: st.DataObject) -> None:
    """Answered, cancelled, late, failed, out of memory, no numbers, yielded, closed: afterwards no block is held."""
    config = mixed(*KINDS[data.draw(st.sampled_from(sorted(KINDS)))], chunk=8, max_positions=600)
    runner = ScriptedRunner(data.draw(st.sets(st.integers(0, 20), max_size=4)))
    runner.starved_at, runner.poisoned = data.draw(st.sets(st.integers(0, 20), max_size=4)), {4}
    cache = KvCache(config, 48, block=4)
    lane = GenerateLane(runner, cache, 600, max_running=3, step_tokens=6)
    told: list[tuple[Sequence, Heard]] = []
    for now in range(data.draw(st.integers(1, 20))):
        if data.draw(st.booleans()):
            prompt = (1,) * data.draw(st.integers(1, 12)) + (data.draw(st.integers(2, 4)),)
            deadline, priority = now + data.draw(st.sampled_from((2.5, 99))), data.draw(st.integers(0, 1))
            request = GenerateRequest(prompt, data.draw(st.integers(1, 24)), deadline, priority=priority)
            told.append((Sequence(request, LetterTokenizer(), frozenset({25}), heard := Heard()), heard))
            lane.add([told[-1][0]])
        if told and data.draw(st.booleans()):
            data.draw(st.sampled_from(told))[0].cancelled = True
        if (work := lane.next(now)) is not None:
            try:
                work.run()
            except RuntimeError:
                work.fail(StepFailed("step_failed", "x"))
        assert cache.held <= cache.blocks
    lane.close(Unavailable("draining", "x"))

    assert (lane.pending, lane.reserved, cache.held) == (0, 0, 0)
    assert all(sequence.cancelled or heard.end for sequence, heard in told)
    cache.forget()
    assert cache.kept == 0
    whole = cache.reserve(48, keeps_all=True)
    assert whole is not None
    found = [block for row in (*whole.full.rows, *whole.chunked.rows) for block in row]
    assert sorted(found) == list(range(cache.blocks))


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
