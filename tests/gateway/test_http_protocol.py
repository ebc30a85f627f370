"""A client cannot hold a connection with half a header, nor fill memory with an endless one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.http_protocol import MAX_HEADER_BYTES, BoundedHttpProtocol


class Impatient(BoundedHttpProtocol):
    header_deadline_s: ClassVar[float] = 0.2
    unread_deadline_s: ClassVar[float] = 0.4


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(hello, http=Impatient, lifespan="off", log_config=None))
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    await task


async def closed_after(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What the server sent until it closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_silent_connection_and_half_a_header_are_closed(port: int) -> None:
    assert await closed_after(port) == b""
    assert await closed_after(port, b"GET / HTTP/1.1\r\nhost: a\r\n") == b""


async def test_a_header_that_drips_is_closed_though_bytes_keep_coming(port: int) -> None:
    drip = [b"x: y\r\n"] * 20
    assert await closed_after(port, b"GET / HTTP/1.1\r\n", *drip, pause_s=0.03) == b""


async def test_an_endless_header_is_cut(port: int) -> None:
    flood = [b"x: " + b"y" * 8000 + b"\r\n"] * (MAX_HEADER_BYTES // 4000)
    assert b"200" not in await closed_after(port, b"GET / HTTP/1.1\r\n", *flood, b"\r\n")


@pytest.mark.parametrize("begin", [b"0\r\n", b"0\r\nx: ", b"1;a="])
async def test_endless_trailers_are_cut_though_the_request_was_answered(port: int, begin: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + begin
    piece = (b"y" * 8000) if begin[-1:] != b"\n" else b"x: " + b"y" * 8000 + b"\r\n"
    await closed_after(port, head, *[piece] * (MAX_HEADER_BYTES // 4000))  # would time out were it kept open


async def test_a_long_body_in_small_chunks_is_no_header(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(4 * MAX_HEADER_BYTES // 4096):
        writer.write(b"1000\r\n" + b"y" * 4096 + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert (await reader.read()).count(b"200 OK") == 2
    writer.close()


async def test_ordinary_requests_on_one_connection_are_not_hurried(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"ok")
        await asyncio.sleep(0.3)
    writer.close()


UPGRADE = b"host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQC\r\n"
INNER = b"GET /inner HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
@pytest.mark.parametrize(
    "framed",
    [
        b"content-length: %d\r\n\r\n" % len(INNER) + INNER,
        b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(INNER) + INNER + b"\r\n0\r\n\r\n",
    ],
)
async def test_the_body_of_a_request_that_offers_another_protocol_is_its_body(framed: bytes, pause_s: float) -> None:
    """Not the next request of the connection, as the parser would have it."""
    seen: list[tuple[str, bytes]] = []

    async def keep(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        seen.append((scope["path"], body))
        await hello(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(keep, http=Impatient, lifespan="off", log_config=None, ws="none"))
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    end = b"GET /end HTTP/1.1\r\n" + UPGRADE.replace(b"Upgrade,", b"Upgrade, close,") + b"\r\n"
    head = b"POST /outer HTTP/1.1\r\n" + UPGRADE
    answer = await closed_after(listener.getsockname()[1], head, framed, head + framed + end, pause_s=pause_s)
    server.should_exit = True
    await task
    assert answer.count(b"200 OK") == 3
    assert seen == [("/outer", INNER), ("/outer", INNER), ("/end", b"")]


async def test_a_client_that_stops_reading_is_let_go() -> None:
    gone = asyncio.Event()

    async def flood(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        hang_up = asyncio.ensure_future(receive())
        while not hang_up.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        gone.set()

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(flood, http=Impatient, lifespan="off", log_config=None))
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(5):
            await gone.wait()
    server.should_exit = True
    await task
