"""Memory that does not suffice for all may suffice for half, and only who does not fit alone is lost."""

from __future__ import annotations

from collections.abc import Sequence as ListOf

import pytest
import torch
from torch import Tensor

from engine.errors import StepFailed
from engine.events import Finished, Reason
from engine.memory import enough_memory
from engine.output import Detokeniser
from engine.runner import Run
from tests.engine.stand_ins import Asked, LetterTokenizer, ScriptedRunner
from tests.engine.test_scheduler import Bench


class Hungry(ScriptedRunner):
    """Needs memory for each token of a step and asks the real allocator for it; more than `holds` are too many."""

    def __init__(self, holds: int) -> None:
        super().__init__()
        self.holds = holds

    def step(self, runs: ListOf[Run]) -> Tensor:
        tokens = sum(len(run.ids) for run in runs)
        with enough_memory("there was not enough memory for this step"):
            torch.empty(2**50 if tokens > self.holds else tokens)
        return super().step(runs)


def hungry(holds: int) -> Bench:
    bench = Bench()
    bench.runner = bench.lane._runner = Hungry(holds)
    return bench


def test_in_prefill_the_prompt_that_does_not_fit_is_lost_and_no_other() -> None:
    bench = hungry(holds=8)
    heard = [bench.add(*[at] * length)[1] for at, length in enumerate((3, 20, 4, 2))]
    bench.drain()

    lost = heard.pop(1).end
    assert isinstance(lost, StepFailed)
    assert (lost.status, lost.code) == (500, "out_of_memory")
    assert [one.end for one in heard] == [Finished(Reason.LENGTH, 3)] * 3
    assert bench.lane.counters.failed_steps == 1


def test_in_decode_the_batch_is_halved_until_it_fits() -> None:
    bench = hungry(holds=8)
    heard = [bench.add(at, max_tokens=6)[1] for at in range(5)]
    bench.step()
    assert isinstance(bench.runner, Hungry)
    bench.runner.holds = 2
    bench.drain()

    assert [one.end for one in heard] == [Finished(Reason.LENGTH, 6)] * 5
    assert [one.text for one in heard] == ["bcdefg", "cdefgh", "defghi", "efghij", "fghijk"]


def test_when_nothing_fits_all_are_told_and_the_next_request_is_served() -> None:
    bench = hungry(holds=0)
    heard = [bench.add(at)[1] for at in range(3)]
    bench.drain()
    assert all(isinstance(one.end, StepFailed) and one.end.code == "out_of_memory" for one in heard)

    assert isinstance(bench.runner, Hungry)
    bench.runner.holds = 99
    _, later = bench.add(7)
    bench.drain()
    assert later.end == Finished(Reason.LENGTH, 3)


@pytest.mark.parametrize("fails_at", [0, 1])
def test_any_other_failure_takes_the_whole_step(fails_at: int) -> None:
    bench = Bench(fails_at=(fails_at,))
    heard = [bench.add(at)[1] for at in range(3)]
    bench.drain()
    assert all(isinstance(one.end, StepFailed) and one.end.code == "step_failed" for one in heard)


def test_rows_that_need_only_their_logits_wait_for_the_device_once() -> None:
    bench = Bench()
    for at in range(5):
        bench.add(at, max_tokens=6)
    bench.step()
    with Asked() as asked:
        bench.step()
    assert asked.questions == []


class Speechless(LetterTokenizer):
    def text(self, ids: ListOf[int]) -> str:
        raise KeyboardInterrupt  # no Exception, as a panic of a library in Rust is none


def test_an_answer_that_cannot_be_continued_is_lost_alone() -> None:
    """The pass went well: three such answers in a row are no reason to give the process up."""
    bench = Bench()
    heard = [bench.add(at)[1] for at in (1, 8)]
    sequence, lost = bench.add(5)
    sequence._detokeniser = Detokeniser(Speechless())
    bench.drain()
    assert [getattr(one.end, "code", None) for one in (lost, *heard)] == ["step_failed", None, None]
    assert [one.text for one in heard] == ["cde", "jkl"]


def test_a_row_that_is_no_number_is_lost_alone() -> None:
    bench = Bench()
    bench.runner.poisoned = {3}
    heard = [bench.add(at)[1] for at in (1, 8, 9)]
    bench.drain()
    assert [getattr(one.end, "code", None) for one in heard] == ["not_finite", None, None]
    assert [one.text for one in heard[1:]] == ["jkl", "klm"]
