"""Texts of like length are judged together, each gets its own scores, and none waits for ever."""

from __future__ import annotations

import pytest

from engine.batching import ClassifyJob, ClassifyLane, Scores
from engine.errors import RequestError, StepFailed, Unavailable
from tests.engine.stand_ins import LengthJudge


class Results(dict[int, Scores | RequestError]):
    def job(self, length: int, deadline: float = 1e9) -> ClassifyJob:
        def resolve(outcome: Scores | RequestError) -> None:
            assert length not in self
            self[length] = outcome

        return ClassifyJob([1] * length, deadline, resolve)


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
