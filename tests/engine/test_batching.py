"""Texts of like length are judged together, each gets its own scores, and none waits for ever."""

from __future__ import annotations

import queue
import threading

import pytest

from engine.batching import ClassifyJob, ClassifyLane, Scores
from engine.errors import MemoryExhausted, RequestError, StepFailed, Unavailable
from engine.loop import MAX_FAILURES, EngineLoop
from tests.engine.stand_ins import LengthJudge


class Results(dict[int, Scores | RequestError]):
    def job(self, length: int, deadline: float = 1e9) -> ClassifyJob:
        def resolve(outcome: Scores | RequestError) -> None:
            assert length not in self
            self[length] = outcome

        return ClassifyJob((1,) * length, deadline, resolve)


def drain(lane: ClassifyLane, now: float = 0.0) -> int:
    steps = 0
    while (batch := lane.next(now)) is not None:
        batch.run()
        steps += 1
    return steps


def test_each_text_gets_its_own_scores() -> None:
    judge, results = LengthJudge(), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(length) for length in (5, 100, 6, 300, 99)])

    assert drain(lane) == 3
    assert all(results[length] == (length / 1000, 1 - length / 1000) for length in (5, 6, 99, 100, 300))
    assert judge.batches == [[5, 6], [100, 99], [300]]
    assert lane.pending == 0


def test_a_batch_is_bounded_and_the_oldest_leads() -> None:
    judge, results = LengthJudge(), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(200), *[results.job(length) for length in range(1, 17)], results.job(511), results.job(510)])
    drain(lane)

    assert judge.batches[0] == [200]
    assert sorted(judge.batches[1]) == list(range(1, 17))
    assert judge.batches[2:] == [[511], [510]]


def test_a_text_longer_than_all_buckets_is_judged_alone() -> None:
    judge, results = LengthJudge(), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(700)])
    drain(lane)
    assert judge.batches == [[700]]


def test_a_model_that_packs_takes_texts_of_any_lengths_up_to_its_budget() -> None:
    judge, results = LengthJudge(packs=True), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(length) for length in (100, 512, 3, 120, 60, 33, 1)])
    drain(lane)

    assert judge.batches == [[100, 3, 120, 33], [512], [60, 1]]
    assert lane.is_shared
    assert not ClassifyLane(LengthJudge()).is_shared
    assert all(results[length] == (length / 1000, 1 - length / 1000) for length in results)


def test_the_same_text_is_computed_once_and_answered_each_time() -> None:
    answers: list[Scores | RequestError] = []
    judge = LengthJudge(packs=True)
    lane = ClassifyLane(judge)
    texts = [(1, 2, 3), (4,) * 250, (1, 2, 3), (9, 9), (4,) * 250]
    lane.add([ClassifyJob(ids, 1e9, answers.append) for ids in texts])

    assert drain(lane) == 1
    assert judge.batches == [[3, 250, 2]]
    assert answers == [(len(ids) / 1000, 1 - len(ids) / 1000) for ids in texts]


def test_a_text_that_is_given_up_does_not_take_its_double_with_it() -> None:
    answers: list[Scores | RequestError] = []
    lane = ClassifyLane(LengthJudge(packs=True))
    jobs = [ClassifyJob((1, 2), 1e9, answers.append) for _ in range(2)]
    lane.add(jobs)
    jobs[0].cancelled = True
    drain(lane)
    assert answers == [(0.002, 0.998)]


def test_a_batch_without_memory_is_tried_in_halves_once() -> None:
    judge, results = LengthJudge(packs=True, holds=60), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(length) for length in (10, 20, 30, 40)])
    drain(lane)

    assert judge.batches == [[10, 20, 30, 40], [10, 20], [30, 40]]
    assert (results[10], results[20]) == ((0.01, 0.99), (0.02, 0.98))
    lost = [results[30], results[40]]
    assert all(isinstance(one, MemoryExhausted) for one in lost)


def test_a_single_text_without_memory_is_not_tried_again() -> None:
    judge, results = LengthJudge(holds=60), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(70), results.job(8)])
    batch = lane.next(0)
    assert batch is not None
    with pytest.raises(MemoryExhausted):
        batch.run()
    drain(lane)
    assert judge.batches == [[70], [8]]
    assert results == {8: (0.008, 0.992)}


def test_cancelled_and_late_texts_are_not_judged() -> None:
    judge, results = LengthJudge(), Results()
    lane = ClassifyLane(judge)
    gone = results.job(3)
    lane.add([gone, results.job(4, deadline=1), results.job(5)])
    gone.cancelled = True
    drain(lane, now=2)

    late = results[4]
    assert isinstance(late, Unavailable)
    assert late.code == "deadline_exceeded"
    assert judge.batches == [[5]]
    assert 3 not in results


def test_a_full_queue_refuses_all_of_a_request() -> None:
    results = Results()
    lane = ClassifyLane(LengthJudge(), max_waiting=2)
    lane.add([results.job(1)])
    with pytest.raises(Unavailable) as caught:
        lane.add([results.job(2), results.job(3)])
    assert caught.value.code == "overloaded"
    assert lane.pending == 1


def test_a_failing_judge_fails_its_batch_only() -> None:
    judge, results = LengthJudge(fails=True), Results()
    lane = ClassifyLane(judge)
    lane.add([results.job(5), results.job(400)])
    batch = lane.next(0)
    assert batch is not None
    batch.fail(StepFailed("step_failed", "x"))
    judge.fails = False
    drain(lane)

    assert isinstance(results[5], StepFailed)
    assert results[400] == (0.4, 0.6)


def test_closing_tells_everybody() -> None:
    results = Results()
    lane = ClassifyLane(LengthJudge())
    lane.add([results.job(1), results.job(2)])
    lane.close(Unavailable("draining", "x"))
    assert all(isinstance(one, Unavailable) for one in results.values())
    assert len(results) == 2


def test_a_host_that_runs_out_of_memory_again_and_again_goes_on() -> None:
    """It is no sign of an unsound process, so it never counts towards giving it up."""
    answers: queue.Queue[Scores | RequestError] = queue.Queue()
    lane = ClassifyLane(LengthJudge(packs=True, holds=100))
    given_up = threading.Event()
    loop = EngineLoop([lane], [], given_up.set)
    loop.start()

    for length in [200] * (2 * MAX_FAILURES) + [50]:
        with loop.lock():
            lane.add([ClassifyJob((1,) * length, 1e12, answers.put)])
    found = [answers.get(timeout=10) for _ in range(2 * MAX_FAILURES + 1)]
    loop.stop(5)

    assert all(isinstance(one, MemoryExhausted) for one in found[:-1])
    assert found[-1] == (0.05, 0.95)
    assert not given_up.is_set()
