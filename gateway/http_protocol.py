"""HTTP connections with three bounds that uvicorn leaves out: how long a header may take, how large it may grow, and
how long a client may leave what it was sent unread. No request is one for another protocol.

Without them a client that sends one header byte a minute holds a connection for ever, and one that never ends its
header fills memory before any limit of ours is asked. The same goes for what is neither header nor body: the trailers
of a chunked body are kept like headers, also after a 401. A client that stops reading would hold its exchange, and the
model server's connection behind it, for ever. All three close the connection; there is nobody to answer.

A request that offers another protocol (`Upgrade: h2c`, which some clients do with each first request) is read as if it
did not. The parser would end it with its header and take its body for the next request of the connection: whoever
wrote the body would have asked twice, the second time with what no proxy before us has seen.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES: Final = 64 * 1024
"""The parser's own bound; gateway/edge.py then allows much less."""


class _Parser:
    """The parser of one connection. It goes on where a request asks for another protocol, with that left out."""

    def __init__(self, protocol: BoundedHttpProtocol) -> None:
        self._protocol, self._parser = protocol, _new_parser(protocol)

    def feed_data(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                self._parser.feed_data(left)
                return
            except httptools.HttpParserUpgrade as exc:
                if self._protocol.is_tunnel():
                    raise
                left, head = left[exc.args[0] :], self._protocol.head_without_upgrade()
                self._parser = _new_parser(self._protocol)
                self._parser.feed_data(head)

    def get_method(self) -> bytes:
        return bytes(self._parser.get_method())

    def get_http_version(self) -> str:
        return str(self._parser.get_http_version())

    def should_keep_alive(self) -> bool:
        return bool(self._parser.should_keep_alive())

    def should_upgrade(self) -> bool:
        return bool(self._parser.should_upgrade())


def _new_parser(protocol: BoundedHttpProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does: the first request is answered
    return parser


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
        self.parser = _Parser(self)  # type: ignore[assignment] # it has what uvicorn asks of one
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
        if self._begins_anew():
            return
        if self.is_tunnel() or not self.url.startswith(b"/"):
            # `GET http://other/…` names an authority that need not be the Host. uvicorn would drop it and keep the
            # path; this path is one that gateway/edge.py refuses.
            self.url = b"/%"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._begins_anew():
            super().on_message_complete()

    def _begins_anew(self) -> bool:
        """Whether the request is to be read once more, without what asks for another protocol."""
        return self.parser.should_upgrade() and not self.is_tunnel()

    def is_tunnel(self) -> bool:
        """Whether it is a `CONNECT`: what follows that is no HTTP at all."""
        return self.parser.get_method() == b"CONNECT"

    def head_without_upgrade(self) -> bytes:
        """The header that was read last, as one that asks for HTTP."""
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"".join((line, *fields, b"\r\n"))

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
