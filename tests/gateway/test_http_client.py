"""The client adds nothing to a request, keeps nothing of an answer, and leaves no connection open behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.http_client import PeerClient, make_client

URL = "http://peer.example/v1"


class Body(httpx.AsyncByteStream):
    """An answer's body that breaks where it is told to, and knows whether it was closed."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self.pieces, self.breaks, self.is_closed = pieces, breaks, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.breaks:
            raise httpx.ReadError("scripted")

    async def aclose(self) -> None:
        self.is_closed = True


def peer(*answers: httpx.Response) -> tuple[PeerClient, list[httpx.Request]]:
    """A client for a peer that gives these answers in turn, and what the peer was asked."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answers[len(asked) - 1]

    return PeerClient(httpx.MockTransport(answer)), asked


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    client, asked = peer(httpx.Response(307, headers={"location": "http://elsewhere.example/"}))
    response = await client.post(URL, content=b"{}")
    assert response.status_code == 307
    assert [str(request.url) for request in asked] == [URL]


async def test_a_cookie_is_not_sent_back() -> None:
    client, asked = peer(httpx.Response(200, headers={"set-cookie": "session=1"}), httpx.Response(200))
    await client.get(URL)
    await client.get(URL)
    assert "cookie" not in asked[1].headers


async def test_credentials_in_a_url_do_not_become_a_header() -> None:
    client, asked = peer(httpx.Response(200))
    await client.get("http://user:word@peer.example/v1")
    assert "authorization" not in asked[0].headers


async def test_a_whole_answer_is_read_and_its_connection_given_back() -> None:
    body = Body(b"one ", b"two")
    client, _ = peer(httpx.Response(200, stream=body))
    response = await client.get(URL)
    assert response.content == b"one two"
    assert body.is_closed


async def test_an_answer_that_breaks_is_closed() -> None:
    body = Body(b"one ", breaks=True)
    client, _ = peer(httpx.Response(200, stream=body))
    with pytest.raises(httpx.ReadError):
        await client.get(URL)
    assert body.is_closed


async def test_a_streamed_answer_is_left_to_the_caller() -> None:
    body = Body(b"one ", b"two")
    client, _ = peer(httpx.Response(200, stream=body))
    async with client.stream("GET", URL) as response:
        assert not body.is_closed
        assert [piece async for piece in response.aiter_raw()] == [b"one ", b"two"]
    assert body.is_closed


async def test_a_socket_that_is_not_there_is_an_outage() -> None:
    async with make_client("/nonexistent/host.sock") as client:
        with pytest.raises((httpx.ConnectError, httpx.ConnectTimeout)):
            await client.get("http://model-host/health")
