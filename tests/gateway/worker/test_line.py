"""Calls are answered in both directions, in order, or fail; and nobody but the same user is at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.errors import RecordError
from gateway.errors import TooMany, Unavailable
from gateway.worker.errors import LineBrokenError
from gateway.worker.line import Answer, Line
from gateway.worker.wire import Body, Kind
from tests.doubles import eventually


class End:
    """Says back what it is told, at once or later."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.heard: list[Any] = []
        self.gate = asyncio.Event()
        self.ends = 0

    def began(self, line: Line) -> None:
        self.line = line

    def called(self, kind: Kind, body: Body) -> Answer:
        self.heard.append((kind, body))
        match body.get("do"):
            case "wait":
                return self._later()
            case "refuse":
                raise TooMany("too_many_requests", "enough")
            case "bug":
                return self._bug()
            case "record":
                return self._record()
            case "odd":
                raise KeyError("a field that is not there")
        return {"said": body.get("say")}

    async def _later(self) -> Body:
        await self.gate.wait()
        return {"said": "later"}

    async def _bug(self) -> Body:
        raise ZeroDivisionError

    async def _record(self) -> Body:
        raise RecordError("a record that is none")

    def told(self, kind: Kind, body: Body) -> None:
        self.heard.append((kind, body))

    def ended(self) -> None:
        self.ends += 1


@asynccontextmanager
async def lines(directory: Path) -> AsyncIterator[tuple[Line, End]]:
    """One end to call from, and the other."""
    far, loop = End(), asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Line(far), str(directory / "s"))
    _, line = await loop.create_unix_connection(lambda: Line(End()), str(directory / "s"))
    await eventually(lambda: far.line is not None)
    try:
        yield line, far
    finally:
        line.cut()
        server.close()


async def test_answers_find_their_calls_whatever_comes_first(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, far):
        slow = asyncio.ensure_future(line.call(Kind.APPEND, {"do": "wait"}, dict))
        assert await line.call(Kind.ENTER, {"say": 1}, lambda body: body["said"]) == 1
        assert not slow.done()
        far.gate.set()
        assert await slow == {"said": "later"}
        assert far.line is not None
        assert await far.line.call(Kind.COUNTS, {"say": 2}, dict) == {"said": 2}
        await far.line.settled()


async def test_an_answer_is_read_before_a_later_message_is_heard(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, far):
        assert far.line is not None
        order: list[str] = []
        line._side.told = lambda kind, body: order.append("later word")  # type: ignore[method-assign] # looks on
        call = asyncio.ensure_future(line.call(Kind.APPEND, {"do": "wait"}, lambda body: order.append("answer")))
        await asyncio.sleep(0.01)
        far.gate.set()
        await far.line.settled()
        far.line.tell(Kind.STATE, {})
        await call
        await eventually(lambda: len(order) == 2)
        assert order == ["answer", "later word"]


@pytest.mark.parametrize(("do", "error"), [("refuse", TooMany), ("bug", Unavailable), ("record", RecordError)])
async def test_what_goes_wrong_there_is_raised_here_and_the_line_goes_on(
    tmp_path: Path, do: str, error: type[Exception]
) -> None:
    async with lines(tmp_path) as (line, _):
        with pytest.raises(error):
            await line.call(Kind.APPEND, {"do": do}, dict)
        assert await line.call(Kind.ENTER, {"say": 1}, dict) == {"said": 1}


async def test_a_cut_line_fails_all_that_wait_and_all_that_come(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, far):
        waiting = [asyncio.ensure_future(line.call(Kind.APPEND, {"do": "wait"}, dict)) for _ in range(3)]
        await eventually(lambda: len(far.heard) == 3)
        assert far.line is not None
        far.line.cut()
        for work in waiting:
            with pytest.raises(LineBrokenError):
                await work
        with pytest.raises(LineBrokenError):
            await line.call(Kind.ENTER, {}, dict)
        line.tell(Kind.LEAVE, {})
        assert far.ends == 1


async def test_a_message_without_its_fields_ends_the_line(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, far):
        with pytest.raises(LineBrokenError):
            await line.call(Kind.ENTER, {"do": "odd"}, dict)
        assert far.ends == 1


async def test_an_answer_that_cannot_be_read_ends_the_line_and_its_caller_is_told(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, _):
        with pytest.raises(LineBrokenError):
            await line.call(Kind.ENTER, {}, lambda body: body["missing"])
        assert not line.is_open


async def test_a_message_that_is_too_large_is_refused_here(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, far):
        with pytest.raises(LineBrokenError):
            await line.call(Kind.ENTER, {"say": "x" * 100_000}, dict)
        assert far.heard == []
        assert line.is_open


async def test_what_is_said_in_one_turn_leaves_in_one_piece(tmp_path: Path) -> None:
    async with lines(tmp_path) as (line, _):
        written: list[bytes] = []
        transport = line._transport

        class Watched:
            def __getattr__(self, name: str) -> Any:
                return written.append if name == "write" else getattr(transport, name)

        line._transport = Watched()  # type: ignore[assignment] # looks on
        for _ in range(5):
            line.tell(Kind.LEAVE, {"id": "x"})
        await asyncio.sleep(0)
        assert len(written) == 1
        line._transport = transport


async def test_another_user_at_the_other_end_is_sent_away(tmp_path: Path) -> None:
    """Who runs this may not be able to become another user; so the line is told another owner."""

    class Strict(Line):
        owner = 2**31 - 2

    far, loop = End(), asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Strict(far), str(tmp_path / "s"))
    _, line = await loop.create_unix_connection(lambda: Line(End()), str(tmp_path / "s"))
    with pytest.raises(LineBrokenError):
        await line.call(Kind.ENTER, {}, dict)
    assert (far.line, far.heard) == (None, [])
    server.close()
