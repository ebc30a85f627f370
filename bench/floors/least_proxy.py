"""The least a gateway on Gatehouse's libraries can do: starlette on uvicorn in front, httpx over aiohttp behind.

It parses the request's JSON, passes it on and passes the answer back, judged by nobody and recorded nowhere. What
Gatehouse costs above it is Gatehouse's own work; what it costs itself is the price of the libraries.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}


def make_app(url: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=512, max_keepalive_connections=512)
        transport = AiohttpTransport(limits=limits, trust_env=False)
        async with httpx.AsyncClient(transport=transport, timeout=60, trust_env=False) as app.state.client:
            yield

    async def chat(request: Request) -> Response:
        body = await request.body()
        client: httpx.AsyncClient = request.app.state.client
        outgoing = client.build_request("POST", url, content=body, headers=_HEADERS)
        answer = await client.send(outgoing, stream=True)
        if json.loads(body).get("stream"):
            return StreamingResponse(_relay(answer), answer.status_code, media_type="text/event-stream")
        return Response(await answer.aread(), answer.status_code, media_type="application/json")

    async def health(_request: Request) -> Response:
        return Response("ok")

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _relay(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for data in answer.aiter_raw():
            yield data
    finally:
        await answer.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mock", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(
        make_app(f"http://127.0.0.1:{args.mock}/v1/chat/completions"),
        host="127.0.0.1", port=args.port, loop="uvloop", http="httptools", access_log=False, log_level="warning",
    )  # fmt: skip
