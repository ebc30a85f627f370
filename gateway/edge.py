"""What is checked of an HTTP request before any route sees it.

The HTTP parser (httptools) refuses conflicting framing by itself. These are the checks it leaves open, each a way in
which two readers of one request can disagree: another version of HTTP, encoded or dotted paths, missing or doubled
Host, a second key, type or encoding, floods of headers. Of an absolute target only the path counts: nothing here is
chosen by host. Plain ASGI: no task per request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import BadRequest
from gateway.ids import exchange_id
from gateway.render import error_body

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_TARGET: Final = 2048
_OF_A_MODEL: Final = re.compile(rb"/v1/models/(?:[^%]|%2F(?![./%])|%3A)+", re.IGNORECASE | re.DOTALL)
"""SDKs ask for `meta-llama/Llama-4` so. What follows is only looked up among the names of models."""
_ONCE: Final = (b"authorization", b"content-type", b"content-encoding")


class Edge:
    """ASGI middleware; refuses with 400 and closes the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        problem = _problem(scope["http_version"], scope["raw_path"], scope["headers"])
        if problem is None:
            await self._app(scope, receive, send)
            return
        body = error_body(BadRequest("bad_request_line", problem), exchange_id())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _problem(version: str, path: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    if version not in ("1.0", "1.1"):
        return "the request is not one of HTTP 1.0 or 1.1"
    encoded = b"%" in path and not _OF_A_MODEL.fullmatch(path)
    if len(path) > MAX_TARGET or encoded or b"//" in path or b"\\" in path or b"/." in path:
        return "the path is not one of this gateway's"
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return f"more than {MAX_HEADERS} header fields or {MAX_HEADER_BYTES} bytes of them"
    names = [name for name, _ in headers]
    if names.count(b"host") != 1:
        return "a request has exactly one `Host` header"
    for name in _ONCE:
        if names.count(name) > 1:
            return f"a request has at most one `{name.decode().title()}` header"
    encodings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if encodings not in ([], [b"chunked"]):
        return "the transfer-encoding is not `chunked`"
    return None
