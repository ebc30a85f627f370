"""Waiting for events can time out without breaking them, and a slow reader slows the sender down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.exchange import AnswerEvent, Channel, Finish, TextDelta
from gateway.pump import ROOM_EVENTS, Pump
from tests.doubles import jumping


def text(number: int) -> TextDelta:
    return TextDelta(0, Channel.CONTENT, str(number))


class Source:
    """Yields what it is given: events, pauses in seconds, exceptions to raise."""

    def __init__(self, *script: AnswerEvent | float | Exception) -> None:
        self.script, self.sent, self.closed = script, 0, False

    async def events(self) -> AsyncGenerator[AnswerEvent]:
        try:
            for step in self.script:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    self.sent += 1
                    yield step
        finally:
            self.closed = True


async def drained(pump: Pump) -> list[AnswerEvent]:
    got: list[AnswerEvent] = []
    while batch := await pump.batch(5):
        got.extend(batch)
    return got


async def test_all_events_come_in_order_then_the_end() -> None:
    source = Source(text(1), text(2), 0.01, text(3), Finish(0, "stop"))
    async with Pump(source.events()) as pump:
        assert await drained(pump) == [text(1), text(2), text(3), Finish(0, "stop")]


@jumping
async def test_a_time_out_loses_nothing() -> None:
    source = Source(text(1), 0.1, text(2))
    async with Pump(source.events()) as pump:
        assert await pump.batch(1) == [text(1)]
        assert await pump.batch(0.02) is None
        assert await pump.batch(-1.0) is None
        assert await pump.batch(None) == [text(2)]
        assert await pump.batch(1) == []


async def test_a_failure_of_the_sender_reaches_the_reader() -> None:
    async with Pump(Source(text(1), 0.01, UpstreamFailed("upstream_error", "scripted")).events()) as pump:
        assert await pump.batch(1) == [text(1)]
        with pytest.raises(UpstreamFailed):
            await pump.batch(1)


@jumping
async def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    source = Source(*map(text, range(5000)))
    async with Pump(source.events()) as pump:
        await asyncio.sleep(0.1)
        assert source.sent == ROOM_EVENTS
        assert len(await drained(pump)) == 5000


@jumping
async def test_much_text_fills_the_room_before_many_events_do() -> None:
    source = Source(*[TextDelta(0, Channel.CONTENT, "x" * 10_000)] * 50)
    async with Pump(source.events()) as pump:
        await asyncio.sleep(0.05)
        assert source.sent == 7, "the room holds 65,536 characters, and one event more than fits"
        assert len(await drained(pump)) == 50


async def test_text_before_a_failure_is_handed_out_before_it() -> None:
    async with Pump(Source(text(1), UpstreamFailed("upstream_error", "scripted")).events()) as pump:
        await asyncio.sleep(0.01)
        assert await pump.batch(1) == [text(1)]
        with pytest.raises(UpstreamFailed):
            await pump.batch(1)


@jumping
async def test_a_batch_says_when_its_first_event_came() -> None:
    times = iter((10.0, 20.0, 30.0))
    source = Source(text(1), text(2), 0.02, text(3))
    async with Pump(source.events(), lambda: next(times)) as pump:
        await asyncio.sleep(0.005)
        assert await pump.batch(1) == [text(1), text(2)]
        assert pump.since == 10.0
        assert await pump.batch(1) == [text(3)]
        assert pump.since == 20.0


async def test_leaving_the_pump_hangs_up_and_raises_nothing() -> None:
    for script in ((30.0,), (text(1), 30.0), (ValueError("x"),), ()):
        source = Source(*script)
        async with Pump(source.events()):
            await asyncio.sleep(0.01)
        assert source.closed
        assert len(asyncio.all_tasks()) == 1


async def test_leaving_a_full_pump_does_not_hang() -> None:
    events = Source(*map(text, range(5000))).events()
    async with asyncio.timeout(20):
        async with Pump(events):
            await asyncio.sleep(0.01)
    await events.aclose()


@given(st.lists(st.sampled_from(["event", "pause"]), max_size=30), st.integers(1, 4))
def test_any_rhythm_gives_the_same_events(script: list[str], patience: int) -> None:
    events = [text(number) for number in range(script.count("event"))]
    rest = iter(events)
    source = Source(*(next(rest) if step == "event" else 0.0005 for step in script))

    async def read() -> list[AnswerEvent]:
        got: list[AnswerEvent] = []
        async with Pump(source.events()) as pump:
            while (batch := await pump.batch(0.0002 * patience)) != []:
                got.extend(batch or [])
        return got

    assert asyncio.run(read()) == events
