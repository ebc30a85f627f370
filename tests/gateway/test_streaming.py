"""When windows are due: by text, by waiting, by a promised delay; one judging at a time, and reading goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from gateway.errors import UpstreamFailed
from gateway.exchange import AnswerEvent, Channel, Finish, ReleasedText, TextDelta, Usage
from gateway.holdback import CONTEXT_WINDOWS, Holdback, ReleaseRule, Window
from gateway.streaming import Windows
from policies.settings import Amount, StreamSpec
from tests.doubles import jumping


def chars(count: int) -> Amount:
    return Amount(count, "characters")


class Judge:
    """Judges windows after a while, releases them, and counts what that took."""

    def __init__(self, spec: StreamSpec, *, judge_s: float = 0.0) -> None:
        windowed = spec.mode == "window"
        self.held = Holdback(ReleaseRule(spec.mode, spec.window_chars or 1, spec.holdback_chars, 1_000_000))
        self.windows = Windows(self.held, spec, windowed=windowed, clock=asyncio.get_running_loop().time)
        self.judge_s = judge_s
        self.sizes: list[int] = []
        """Of new text in each window."""
        self.judged_chars = self.preceding_chars = 0
        self.released = ""
        self.released_at: list[tuple[float, int]] = []
        self.largest = 0
        self._seen = 0

    async def run(self, events: AsyncGenerator[AnswerEvent]) -> Judge:
        async for window in self.windows.of(events):
            await self._judge(window)
        return self

    async def _judge(self, window: Window) -> None:
        await asyncio.sleep(self.judge_s)
        self.windows.judged(self.judge_s)
        if not window.final:
            self.sizes.append(window.stretches[0].end - self._seen)
            self._seen = window.stretches[0].end
        for part in window.parts:
            self.judged_chars += len(part.text)
            self.preceding_chars += len(part.preceding)
            self.largest = max(self.largest, len(part.text) if not window.final else 0)
        for item in self.held.release(window, {0: []}):
            if isinstance(item, ReleasedText):
                self.released += item.text
                self.released_at.append((asyncio.get_running_loop().time(), len(self.released)))


async def spoken(text: str, piece: int = 5, pause_s: float = 0.0, until: Callable[[], None] | None = None):  # type: ignore[no-untyped-def]
    """A model that says `text` in pieces, and says when it is done."""
    for at in range(0, len(text), piece):
        yield TextDelta(0, Channel.CONTENT, text[at : at + piece])
        await asyncio.sleep(pause_s)
    if until is not None:
        until()
    yield Usage({"total_tokens": 1})
    yield Finish(0, "stop")


TEXT = "".join(f" word{number:04d}" for number in range(400))
"""3,600 characters."""


async def test_windows_come_when_enough_text_has_come_and_the_last_one_holds_everything() -> None:
    judge = await Judge(StreamSpec("window", chars(90), chars(30))).run(spoken(TEXT))
    assert judge.released == TEXT
    assert set(judge.sizes) == {90}
    assert judge.windows.usage == Usage({"total_tokens": 1})


async def test_in_buffer_mode_there_is_one_window() -> None:
    judge = await Judge(StreamSpec("buffer")).run(spoken(TEXT))
    assert (judge.sizes, judge.judged_chars) == ([], len(TEXT))


async def test_what_judging_costs_is_linear_and_does_not_depend_on_how_text_arrives() -> None:
    """Guards that judge a window read the same few windows of context, however long the answer is."""
    window, holdback = 90, 30
    at_most = (CONTEXT_WINDOWS * window + holdback + window) / window + 1
    for text in (TEXT, TEXT * 4):
        for piece in (1, 7, 90, 1_000):
            judge = await Judge(StreamSpec("window", chars(window), chars(holdback))).run(spoken(text, piece))
            assert judge.released == text
            assert judge.judged_chars <= at_most * len(text)
            assert len(judge.sizes) <= len(text) // window
            assert judge.largest <= CONTEXT_WINDOWS * window + holdback + window + piece


@jumping
async def test_what_came_during_a_judging_is_one_window_and_the_model_was_not_stalled() -> None:
    """100 pieces take 0.2 s. Each judging takes 0.1 s, so there is time for two, and what is left is the third."""
    loop = asyncio.get_running_loop()
    began, ended = loop.time(), 0.0

    def done() -> None:
        nonlocal ended
        ended = loop.time() - began

    judge = await Judge(StreamSpec("window", chars(90), chars(30)), judge_s=0.1).run(spoken(TEXT, 36, 0.002, done))
    assert judge.released == TEXT
    assert ended == pytest.approx(0.2), "the model waited for the judge"
    assert len(judge.sizes) <= 3
    assert max(judge.sizes) > 300


@jumping
async def test_windows_grow_with_slow_guards_and_stay_in_their_bounds_with_quick_ones() -> None:
    spec = StreamSpec("window", chars(45), chars(30), window_most=chars(900))
    quick = await Judge(spec, judge_s=0.0).run(spoken(TEXT, 9, 0.001))
    slow = await Judge(spec, judge_s=0.04).run(spoken(TEXT, 9, 0.001))
    assert quick.windows.pace.window == 45
    assert 45 < slow.windows.pace.window <= 900
    assert len(slow.sizes) < len(quick.sizes) / 3


@jumping
async def test_text_that_stops_coming_is_judged_after_max_wait() -> None:
    async def stalls() -> AsyncGenerator[AnswerEvent]:
        yield TextDelta(0, Channel.CONTENT, "a few words, less than a window")
        await asyncio.sleep(0.3)
        yield Finish(0, "stop")

    judge = Judge(StreamSpec("window", chars(500), chars(10), max_wait_ms=50))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await judge.run(stalls())
    at, size = judge.released_at[0]
    assert at - began == pytest.approx(0.05)
    assert size == 31 - 10, "what is held back waits for more text"
    assert judge.sizes == [31], "it was judged once and not again and again"


@jumping
async def test_a_promised_delay_lets_go_what_is_held_back_when_nothing_more_comes() -> None:
    async def stalls() -> AsyncGenerator[AnswerEvent]:
        yield TextDelta(0, Channel.CONTENT, "a few words, less than a window")
        await asyncio.sleep(0.5)
        yield Finish(0, "stop")

    judge = Judge(StreamSpec("window", chars(500), chars(10), max_wait_ms=50, max_delay_ms=150))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await judge.run(stalls())
    at, size = judge.released_at[-1]
    assert size == 31
    assert at - began == pytest.approx(0.15)
    assert len(judge.sizes) == 2


@jumping
async def test_a_promised_delay_is_kept_by_the_first_text_before_a_slow_guard() -> None:
    """Its time is not known yet, and after one judging there would be no time for a second."""
    spec = StreamSpec("window", chars(500), chars(100), max_wait_ms=300, max_delay_ms=580)
    judge = Judge(spec, judge_s=0.22)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await judge.run(spoken("word " * 20, 5, 0.05))
    assert judge.released_at[0][0] - began <= 0.58


@jumping
async def test_a_promised_delay_is_kept_while_text_flows() -> None:
    """200 characters a second with 400 held back would be two seconds late; half a second was promised."""
    spec = StreamSpec("window", chars(20), chars(400), max_wait_ms=200, window_most=chars(900), max_delay_ms=500)
    judge, came = Judge(spec, judge_s=0.01), []
    loop = asyncio.get_running_loop()

    async def speaks() -> AsyncGenerator[AnswerEvent]:
        for number in range(75):
            came.append((loop.time(), 4 * (number + 1)))
            yield TextDelta(0, Channel.CONTENT, f"{number:04d}")
            await asyncio.sleep(0.02)
        yield Finish(0, "stop")

    await judge.run(speaks())
    worst = max(next(out for out, size in judge.released_at if size >= total) - at for at, total in came)
    assert worst <= 0.5


@pytest.mark.parametrize("mode", ["window", "buffer"])
async def test_an_answer_without_an_end_is_cut_off(mode: str) -> None:
    async def ends() -> AsyncGenerator[AnswerEvent]:
        yield TextDelta(0, Channel.CONTENT, "half an answ")

    with pytest.raises(UpstreamFailed) as error:
        await Judge(StreamSpec(mode, chars(5), chars(0))).run(ends())
    assert error.value.code == "upstream_cut_off"


async def test_leaving_in_the_middle_closes_the_source() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[AnswerEvent]:
        try:
            while True:
                yield TextDelta(0, Channel.CONTENT, "more and more")
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    windows = Judge(StreamSpec("window", chars(20), chars(0))).windows.of(endless())
    await anext(windows)
    await windows.aclose()
    assert closed.is_set()
