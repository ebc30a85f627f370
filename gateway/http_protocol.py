"""HTTP connections with three bounds that uvicorn leaves out: how long a header may take, how large it may grow, and
how long a client may leave what it was sent unread.

Without them a client that sends one header byte a minute holds a connection for ever, and one that never ends its
header fills memory before any limit of ours is asked. The same goes for what is neither header nor body: the trailers
of a chunked body are kept like headers, also after a 401. A client that stops reading would hold its exchange, and the
model server's connection behind it, for ever. All three close the connection; there is nobody to answer.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES: Final = 64 * 1024
"""The parser's own bound; gateway/edge.py then allows much less."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. The header of each request must be complete in time, counted from its first byte."""

    header_deadline_s: ClassVar[float] = 10.0
    unread_deadline_s: ClassVar[float] = 60.0
    """How long a full write buffer may stay full."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _framing_bytes = 0
    """Since the last piece of a body: header, trailers, chunk extensions."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_header()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._is_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._framing_bytes += len(data)
        if self._framing_bytes > MAX_HEADER_BYTES + len(data):
            self.transport.abort()
            return
        super().data_received(data)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._framing_bytes = 0
        self._await_header()

    def on_headers_complete(self) -> None:
        self._stop_clock()
        if not self.url.startswith(b"/"):
            # `GET http://other/…` names an authority that need not be the Host. uvicorn would drop it and keep the
            # path; this path is one that gateway/edge.py refuses.
            self.url = b"/%"
        super().on_headers_complete()

    def _await_header(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self.header_deadline_s, self.transport.abort)

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
