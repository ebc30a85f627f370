"""One bounded request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.http import AnchorClient
from tests.gateway.witness.live_witness import Served


async def _drip() -> AsyncIterator[bytes]:
    for _ in range(100):
        yield b"x"
        await asyncio.sleep(0.05)


async def echo(request: Request) -> Response:
    return Response(await request.body() + request.headers["x-more"].encode(), 202, media_type="text/x.echo")


async def drip(_request: Request) -> Response:
    return StreamingResponse(_drip())


async def huge(_request: Request) -> Response:
    return Response(b"x" * 100_000)


APP = Starlette(routes=[Route(f"/{one.__name__}", one, methods=["POST"]) for one in (echo, drip, huge)])


def test_an_answer_as_it_came() -> None:
    with Served(APP) as server, closing(AnchorClient(5, None)) as client:
        for _ in range(2):
            answer = client.post(server.url + "/echo", b"body", {"x-more": "!"})
            assert (answer.status, answer.media_type, answer.body) == (202, "text/x.echo", b"body!")


@pytest.mark.parametrize("route", ["drip", "huge"])
def test_an_answer_without_end_is_none(route: str) -> None:
    slow = pytest.raises(AnchorError, match="too long or too slow")
    with Served(APP) as server, closing(AnchorClient(0.3, None)) as client, slow:
        client.post(f"{server.url}/{route}", b"", {})


def test_certificates_that_are_not_there_are_an_error_of_this_attempt(tmp_path: Path) -> None:
    with closing(AnchorClient(1, tmp_path / "missing.pem")) as client, pytest.raises(AnchorError) as refused:
        client.post("https://127.0.0.1:9/", b"", {})
    assert refused.value.code == "anchor_unreachable"
