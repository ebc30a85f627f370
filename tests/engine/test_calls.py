"""Between two threads: results in order, errors as exceptions, and a caller that leaves is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from engine import calls
from engine.batching import ClassifyLane
from engine.errors import StepFailed, Unavailable
from engine.events import Event, Finished, GenerateRequest, Grown, Sampling
from engine.generate_wire import Asked
from engine.kv_cache import KvCache
from engine.loop import EngineLoop
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from tests.engine.stand_ins import LengthJudge, LetterTokenizer, ScriptedRunner, small_config


class Model:
    """The part of a Generator that a call needs."""

    def __init__(self, lane: GenerateLane) -> None:
        self.lane = lane

    def units(self, sequences: list[Sequence]) -> list[Sequence]:
        return sequences

    def sequence(self, request: GenerateRequest, receiver: Callable[[Event], None]) -> Sequence:
        return Sequence(request, LetterTokenizer(), frozenset({25}), receiver)


class Engine:
    def __init__(self, fails_at: tuple[int, ...] = (), judge_fails: bool = False) -> None:
        self.judge = ClassifyLane(LengthJudge(fails=judge_fails))
        self.lane = GenerateLane(ScriptedRunner(fails_at), KvCache(small_config(), 100_000), 50_000)
        self.loop = EngineLoop([self.judge], [self.lane])
        self.loop.start()

    def generate(self, max_tokens: int = 3, choices: int = 1):
        request = GenerateRequest((0,), max_tokens, 1e12, Sampling(temperature=0), ignores_end=True)
        return calls.generate(self.loop, Model(self.lane), Asked(request, choices))  # type: ignore[arg-type]

    async def idle(self) -> bool:
        for _ in range(200):
            if self.loop.pending == self.lane.reserved == self.lane.cache.held == 0:
                return True
            await asyncio.sleep(0.01)
        return False


@pytest.fixture
def engine() -> Iterator[Engine]:
    one = Engine()
    yield one
    one.loop.stop(5)


async def test_scores_come_in_the_order_of_the_inputs(engine: Engine) -> None:
    inputs = [[1] * length for length in (300, 5, 100)]
    assert await calls.classify(engine.loop, engine.judge, inputs) == [(0.3, 0.7), (0.005, 0.995), (0.1, 0.9)]


async def test_a_judge_that_fails_is_an_exception_here() -> None:
    engine = Engine(judge_fails=True)
    with pytest.raises(StepFailed):
        await calls.classify(engine.loop, engine.judge, [[1]])
    engine.loop.stop(5)


async def test_events_of_all_choices_come_until_all_are_finished(engine: Engine) -> None:
    seen = [(choice, event) async for choice, event in engine.generate(choices=2)]

    for choice in (0, 1):
        mine = [event for at, event in seen if at == choice]
        assert "".join(event.text for event in mine if isinstance(event, Grown)) == "bcd"
        assert isinstance(mine[-1], Finished)
    assert await engine.idle()


async def test_a_caller_that_leaves_frees_the_engine(engine: Engine) -> None:
    events = engine.generate(max_tokens=40_000)
    await anext(events)
    assert engine.loop.pending == 1
    await events.aclose()

    assert await engine.idle()


async def test_a_failed_step_is_an_exception_here() -> None:
    engine = Engine(fails_at=(1,))
    with pytest.raises(StepFailed):
        async for _ in engine.generate():
            pass
    assert await engine.idle()
    engine.loop.stop(5)


async def test_a_loop_that_stops_tells_its_callers() -> None:
    engine = Engine()
    events = engine.generate(max_tokens=40_000)
    await anext(events)
    await asyncio.to_thread(engine.loop.stop, 5)

    with pytest.raises(Unavailable):
        async for _ in events:
            pass
    assert (engine.lane.pending, engine.lane.cache.held) == (0, 0)
    with pytest.raises(Unavailable):
        await calls.classify(engine.loop, engine.judge, [[1]])
