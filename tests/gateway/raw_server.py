"""A peer that says exactly what a test writes, byte by byte, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

RESET = object()
"""In a script: tear the connection down instead of closing it."""
Step = bytes | float | object


@dataclass
class RawServer:
    """Answers each request with `script`: bytes to send, seconds to wait, or RESET; then it closes the connection."""

    script: tuple[Step, ...] = ()
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    """(head, body) of each request."""
    hung_up: int = 0
    """How often the client closed while we still had something to say."""

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._open: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.sleep(0)

    def answers(self, *script: Step) -> None:
        self.script = script

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            self.requests.append((head, body))
            for step in self.script:
                if reader.at_eof():
                    self.hung_up += 1
                    return
                await self._do(step, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up += 1
        finally:
            self._open.discard(task)
            writer.close()

    async def _do(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float):
            try:
                async with asyncio.timeout(step):
                    await reader.read(1)  # returns early when the client hangs up
            except TimeoutError:
                return
        else:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def http(body: bytes, status: str = "200 OK", *fields: str, length: int | None = None) -> bytes:
    """One response. `length` may lie."""
    head = [
        f"HTTP/1.1 {status}",
        "connection: close",
        f"content-length: {len(body) if length is None else length}",
        *fields,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def completion(text: str = "fine", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"total_tokens": 2}}).encode()


def chunk(text: str | None = None, reason: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    row = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return b"data: " + json.dumps(row).encode() + b"\n\n"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
STREAM = (STREAM_HEAD, chunk("fi"), chunk("ne"), chunk(reason="stop"), b"data: [DONE]\n\n")
