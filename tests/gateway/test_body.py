"""The body comes whole, in time, unencoded and inside its limit, or the request was never made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from gateway.body import read_body
from gateway.errors import BadRequest, EncodingRefused, GatewayError, Slow, TooLarge


class Wire:
    """A connection that delivers `pieces`; a number is a pause in seconds, None is a hang-up."""

    def __init__(self, *pieces: bytes | float | None) -> None:
        self.pieces = list(pieces)

    async def receive(self) -> dict[str, Any]:
        piece = self.pieces.pop(0) if self.pieces else None
        if isinstance(piece, float):
            await asyncio.sleep(piece)
            return await self.receive()
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    def request(self, **headers: str) -> Request:
        fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return Request({"type": "http", "method": "POST", "path": "/", "headers": fields}, self.receive)


async def error_of(wire: Wire, limit: int = 100, deadline_s: float = 5, **headers: str) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        await read_body(wire.request(**headers), limit, deadline_s=deadline_s)
    return error.value


async def test_pieces_become_one_body() -> None:
    assert await read_body(Wire(b"ab", b"", b"c").request(), 3) == b"abc"
    assert await read_body(Wire(b"").request(content_type="application/json; charset=utf-8"), 3) == b""


async def test_a_body_over_the_limit_is_refused_as_soon_as_that_is_known() -> None:
    declared = Wire(b"never read")
    assert isinstance(await error_of(declared, content_length="101"), TooLarge)
    assert declared.pieces, "a declared length is believed before a byte is read"
    endless = Wire(*[b"x" * 40] * 50)
    assert isinstance(await error_of(endless, content_length="5"), TooLarge)
    assert len(endless.pieces) == 47, "a false length is found out at the limit, not at the end"
    assert (await error_of(Wire(b"x" * 101))).code == "body_too_large"


async def test_a_body_that_dribbles_in_is_given_up() -> None:
    error = await error_of(Wire(b"{", *[0.02, b" "] * 200), deadline_s=0.1)
    assert isinstance(error, Slow)
    assert (error.code, error.message) == ("body_timeout", "the body did not arrive within 0.1 seconds")


async def test_half_a_body_is_no_request() -> None:
    error = await error_of(Wire(b'{"model": "m", ', 0.0, None))
    assert isinstance(error, BadRequest)
    assert error.code == "incomplete_body"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "identity, gzip", "Identity ", ""])
async def test_an_encoded_body_would_be_judged_as_other_bytes(encoding: str) -> None:
    error = await error_of(Wire(b"{}"), content_encoding=encoding)
    assert isinstance(error, EncodingRefused)
    assert error.code == "content_encoding"


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "json", ""])
async def test_other_media_types_are_refused(kind: str) -> None:
    """Also what a web page could send from a browser without asking first."""
    assert (await error_of(Wire(b"{}"), content_type=kind)).code == "content_type"
