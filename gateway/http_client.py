"""The one place where HTTP clients are made: httpx as the interface, aiohttp underneath.

httpcore, the usual transport, costs 1.2 ms of CPU per request at 16 connections and walks all idle connections each
time (docs/decisions/0002-http-client.md). No proxy, no cookie and no redirect: the process talks to configured peers
and keeps nothing of one exchange for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from gateway.peers import HOST_URL

__all__ = ["CONNECT_S", "HOST_URL", "PeerClient", "make_client"]
CONNECT_S: Final = 2.0
_KEPT_ALIVE_S: Final = 4.0
"""Shorter than the 5 s after which uvicorn-based servers hang up, so that we never write to a closing connection."""


class PeerClient(httpx.AsyncClient):
    """Hands each request to the transport as it was built, and the answer back as it came.

    httpx's own `send` looks for credentials, redirects and cookies around every call. There are none here, and the
    search costs as much CPU as all rules of a policy do.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, headers: Mapping[str, str], connect_s: float = CONNECT_S
    ) -> None:
        # Only connecting has a limit of its own: how long an answer may take is up to each caller's deadline.
        timeout = httpx.Timeout(None, connect=connect_s)
        super().__init__(transport=transport, trust_env=False, headers=headers, timeout=timeout)
        self._peer = transport

    async def send(self, request: httpx.Request, *, stream: bool = False, **_unused: object) -> httpx.Response:
        try:
            response = await self._peer.handle_async_request(request)
        except httpx.ConnectTimeout as exc:
            # The transport's name for every lost connection, also for one that was refused at once.
            if isinstance(exc.__cause__, aiohttp.ServerTimeoutError):
                raise
            raise httpx.ConnectError(f"no connection to the peer: {type(exc.__cause__).__name__}") from None
        except aiohttp.ClientError as exc:
            # The transport leaves some of these as they are. Their message quotes what the peer sent: not passed on.
            raise httpx.RemoteProtocolError(f"the peer does not speak HTTP: {type(exc).__name__}") from None
        response.request = request
        if not stream:
            try:
                await response.aread()
            # A caller that is cancelled while it reads, too, gives the connection back.
            except BaseException:
                await response.aclose()
                raise
        return response


def make_client(
    uds: str | None = None, *, connections: int = 512, api_key: str = "", connect_s: float = CONNECT_S
) -> httpx.AsyncClient:
    """A client for one peer: `uds` is the path of a unix socket, None means TCP. Each request carries `api_key`."""

    def session() -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if uds is not None:
            connector = aiohttp.UnixConnector(path=uds, limit=connections, keepalive_timeout=_KEPT_ALIVE_S)
        else:
            connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=_KEPT_ALIVE_S)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
        )

    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    return PeerClient(AiohttpTransport(client=session, trust_env=False), headers, connect_s)
