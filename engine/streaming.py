"""Work that ends when its client leaves.

A client that hangs up must not keep the engine busy. Both a whole answer and a stream watch the connection while they
wait, and cancel what they wait for when it closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")


async def until_disconnected(request: Request, call: Awaitable[T]) -> T:
    """The call's result; when the client leaves first, the call is cancelled and ClientDisconnect raised."""
    return await _race(request.receive, call)


class EventStream(Response):
    """Server-sent events as they come. The source is closed whichever way the response ends."""

    media_type = "text/event-stream"

    def __init__(self, source: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await _race(receive, self._send(send))
        except ClientDisconnect:
            # Nobody is there to be told; the source is closed by now.
            return

    async def _send(self, send: Send) -> None:
        async with aclosing(self._source):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for event in self._source:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _race(receive: Receive, call: Awaitable[T]) -> T:
    task = asyncio.ensure_future(call)
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            # Wait until it has cleaned up: its sequences are then marked, and no generator is left half-way.
            await asyncio.wait({task})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
