"""How low Python can go: a proxy of two asyncio protocols on uvloop, without an HTTP library.

It frames a request by its content-length, parses its JSON as any gateway must, sends it on over a kept connection and
passes the answer's bytes back as they come. A floor to measure against, not a design: it takes no chunked or pipelined
requests and survives no misbehaving peer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
_idle: list[_Back] = []


class _Back(asyncio.Protocol):
    """A connection to the model server."""

    front: _Front | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, front: _Front, body: bytes) -> None:
        self.front = front
        self._head: bytes | None = b""
        self._left: int | None = None
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\ncontent-type: application/json\r\n"
        self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))

    def data_received(self, data: bytes) -> None:
        assert self.front is not None
        self.front.transport.write(data)
        if self._head is not None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._head[: end + 2])
            self._left = int(length[1]) if length else None
            data, self._head = self._head[end + 4 :], None
        if self._left is not None:
            self._left -= len(data)
        done = self._left == 0 if self._left is not None else data.endswith(b"0\r\n\r\n")
        if done:
            self.front = None
            _idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in _idle:
            _idle.remove(self)
        if self.front:
            self.front.transport.close()


class _Front(asyncio.Protocol):
    """A connection from a client."""

    def __init__(self, mock: int) -> None:
        self._mock, self._buffer = mock, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        length = _LENGTH.search(self._buffer[: end + 2]) if end >= 0 else None
        stop = end + 4 + (int(length[1]) if length else 0)
        if end < 0 or len(self._buffer) < stop:
            return
        body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
        if not body:
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            return
        json.loads(body)
        if _idle:
            _idle.pop().ask(self, body)
        else:
            self._task = asyncio.ensure_future(self._connect(body))

    async def _connect(self, body: bytes) -> None:
        _, back = await asyncio.get_running_loop().create_connection(_Back, "127.0.0.1", self._mock)
        back.ask(self, body)


async def _serve(port: int, mock: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Front(mock), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mock", type=int, required=True)
    args = parser.parse_args()
    uvloop.run(_serve(args.port, args.mock))
