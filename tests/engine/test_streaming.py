"""Whatever waits for a client ends when the client is gone, and cleans up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from engine.streaming import EventStream, until_disconnected


class Connection:
    """A client that leaves when told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def request(self) -> Request:
        return Request({"type": "http"}, self.receive)


async def test_a_result_is_returned_and_an_error_raised() -> None:
    async def fails() -> None:
        raise KeyError

    connection = Connection()
    assert await until_disconnected(connection.request, asyncio.sleep(0, "x")) == "x"
    with pytest.raises(KeyError):
        await until_disconnected(connection.request, fails())


async def test_a_client_that_leaves_cancels_and_waits_for_the_clean_up() -> None:
    cleaned = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    connection = Connection()
    asyncio.get_running_loop().call_later(0.01, connection.gone.set)
    with pytest.raises(ClientDisconnect):
        await until_disconnected(connection.request, long())
    assert cleaned == [True]


async def test_a_stream_is_sent_to_its_end() -> None:
    async def source() -> AsyncGenerator[bytes, None]:
        yield b"a"
        yield b"b"

    connection = Connection()
    await EventStream(source())({"type": "http"}, connection.receive, connection.send)

    assert [message.get("body") for message in connection.sent] == [None, b"a", b"b", b""]
    headers = dict(connection.sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in headers


async def test_a_stream_whose_client_leaves_closes_its_source() -> None:
    closed = []

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    connection = Connection()
    asyncio.get_running_loop().call_later(0.01, connection.gone.set)
    await EventStream(source())({"type": "http"}, connection.receive, connection.send)

    assert closed == [True]
    assert connection.sent[-1].get("body") == b"a"
