"""The process talks to the peer it was told, and to nobody else that the peer or the environment names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.http_client import HOST_URL, make_client
from tests.gateway.raw_server import RESET, RawServer, Step, completion, http

CANARY = b"canary-of-a-peer"


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


async def test_a_proxy_of_the_environment_is_not_asked(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    server.answers(http(b"{}"))
    async with make_client() as client:
        assert (await client.get(server.url)).status_code == 200


async def test_credentials_of_the_environment_are_not_sent(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers(http(b"{}"))
    async with make_client() as client:
        await client.get(server.url)
    assert b"authorization" not in server.requests[0][0].lower()


async def test_redirects_are_answers_and_not_orders(server: RawServer) -> None:
    server.answers(http(b"", "302 Found", "location: http://127.0.0.1:1/elsewhere"))
    async with make_client() as client:
        response = await client.get(server.url)
    assert response.status_code == 302
    assert len(server.requests) == 1


async def test_nothing_of_one_exchange_is_kept_for_the_next(server: RawServer) -> None:
    server.answers(http(b"{}", "200 OK", "set-cookie: session=canary; path=/"))
    async with make_client() as client:
        await client.get(server.url)
        await client.get(server.url)
    assert b"cookie" not in server.requests[1][0].lower()


async def test_bodies_are_not_decoded_behind_our_back(server: RawServer) -> None:
    """What is judged are the bytes on the wire; an encoded answer must be seen as one."""
    server.answers(http(b"\x1f\x8bnot really", "200 OK", "content-encoding: gzip"))
    async with make_client() as client:
        request = httpx.Request("GET", server.url)
        response = await client.send(request, stream=True)
        assert response.headers["content-encoding"] == "gzip"
        assert b"".join([piece async for piece in response.aiter_raw()]) == b"\x1f\x8bnot really"
        await response.aclose()


@pytest.mark.parametrize(
    "script",
    [(), (RESET,), (CANARY + b"\r\n\r\n",), (b"HTTP/1.1 200 OK\r\n" + CANARY + b"\r\n\r\n",),
     (b"HTTP/1.1 200 OK\r\ncontent-length: " + CANARY + b"\r\n\r\n",), (b"HTTP/1.1 99999 " + CANARY + b"\r\n\r\n",),
     (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CANARY + b"\r\n",), (http(b"half", length=100),)],
)  # fmt: skip
async def test_a_peer_that_speaks_badly_is_an_http_error_without_its_words(
    server: RawServer, script: tuple[Step, ...]
) -> None:
    server.answers(*script)
    async with make_client() as client:
        with pytest.raises(httpx.HTTPError) as error:
            await client.get(server.url, timeout=2)
    assert CANARY.decode() not in str(error.value)


async def test_a_peer_that_is_not_there_is_no_timeout(tmp_path: Path) -> None:
    """The transport calls a refused connection, a missing socket and a hang-up `ConnectTimeout`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        async with make_client() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    async with make_client(str(tmp_path / "missing.sock")) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(HOST_URL + "/health")


async def test_a_peer_that_does_not_take_connections_is_a_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # more than the queue has places
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        async with make_client(connect_s=0.2) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for one in waiting:
            one.close()


@pytest.mark.parametrize("script", [(), (RESET,)])
async def test_a_peer_that_hangs_up_is_no_timeout(server: RawServer, script: tuple[Step, ...]) -> None:
    server.answers(*script)
    async with make_client() as client:
        with pytest.raises(httpx.NetworkError):
            await client.get(server.url)


@pytest.mark.parametrize("script", [(http(b"half", length=100),), (http(b"half", length=100), RESET)])
async def test_a_peer_that_hangs_up_in_its_answer_is_no_timeout(server: RawServer, script: tuple[Step, ...]) -> None:
    server.answers(*script)
    async with make_client() as client, client.stream("GET", server.url) as response:
        with pytest.raises(httpx.NetworkError):
            await response.aread()


async def test_a_slow_peer_is_a_timeout(server: RawServer) -> None:
    server.answers(5.0, http(b"{}"))
    async with make_client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=0.1)


async def test_a_peer_on_a_unix_socket_needs_no_name(tmp_path: Path) -> None:
    """The host name in the URL is never looked up; the socket is the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(completion()))
        await writer.drain()
        writer.close()

    path = str(tmp_path / "host.sock")
    async with await asyncio.start_unix_server(serve, path), make_client(path) as client:
        assert (await client.get(HOST_URL + "/health")).content == completion()
    async with make_client(str(tmp_path / "missing.sock")) as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(HOST_URL + "/health")


async def test_a_key_goes_with_every_request_of_its_client_only() -> None:
    async with make_client(api_key="of-this-peer", connect_s=0.5) as one, make_client() as other:
        assert one.build_request("GET", "http://peer/").headers["authorization"] == "Bearer of-this-peer"
        assert one.timeout.connect == 0.5
        assert one.timeout.read is None
        assert "authorization" not in other.build_request("GET", "http://peer/").headers
