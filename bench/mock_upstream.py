"""A model server that answers at once, so that a benchmark sees the gateway and nothing else.

It stands on asyncio alone (uvloop where there is one): no framework, no parsing beyond what framing takes. A streamed
answer is CHUNKS pieces of text of a fixed length with a fixed pause between them; the pieces are numbered, so a client
can tell that all of them arrived, once, in order. It listens on loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import cast

import uvloop

MARK = "mock-ok"
MODEL = "mock-model"
CHUNKS = 100
PAUSE_S = 0.01
PIECES = [f" t{number:03d}" for number in range(CHUNKS)]
"""What a streamed answer says: about as many characters to a piece as a model's tokens have."""
_TEXT = MARK + " " + " ".join(["The quick brown fox jumps over the lazy dog."] * 6)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.I)
_STREAM = re.compile(rb'"stream"\s*:\s*true')


def _response(body: object, status: str = "200 OK") -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _event(choice: dict[str, object]) -> bytes:
    chunk = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": MODEL}
    return b"data: " + json.dumps(chunk | {"choices": [{"index": 0} | choice]}).encode() + b"\n\n"


def _frame(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_ANSWER = _response(
    {
        "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 130, "completion_tokens": 61, "total_tokens": 191},
    }
)  # fmt: skip
_MODELS = _response(
    {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "bench"}]}
)
_NOT_FOUND = _response({"error": {"message": "not found"}}, "404 Not Found")
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENTS = [
    _frame(_event({"delta": {"role": "assistant", "content": piece}, "finish_reason": None})) for piece in PIECES
]
_LAST = _frame(_event({"delta": {}, "finish_reason": "stop"}) + b"data: [DONE]\n\n") + b"0\r\n\r\n"


class _Mock(asyncio.Protocol):
    """One connection; requests on it are answered one after the other."""

    pause_s = PAUSE_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = cast(asyncio.Transport, transport), b""
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, start = self._buffer[:end], end + 4
            if length := _LENGTH.search(head):
                stop = start + int(length[1])
            elif _CHUNKED.search(head):
                stop = self._buffer.find(b"0\r\n\r\n", start) + 5
                if stop < 5:
                    return
            else:
                stop = start
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[start:stop], self._buffer[stop:]
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        if not path.endswith(b"/chat/completions"):
            self._transport.write(_MODELS if path.endswith(b"/models") else _NOT_FOUND)
        elif _STREAM.search(body):
            self._transport.write(_STREAM_HEAD)
            self._tick(0, self._loop.time())
        else:
            self._transport.write(_ANSWER)

    def _tick(self, sent: int, began: float) -> None:
        if self._transport.is_closing():
            return
        if sent == CHUNKS:
            self._transport.write(_LAST)
            return
        self._transport.write(_EVENTS[sent])
        self._loop.call_at(began + (sent + 1) * self.pause_s, self._tick, sent + 1, began)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Mock, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat model server that answers at once, for benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--pause-ms", type=float, default=PAUSE_S * 1000, help="between two pieces of a streamed answer"
    )
    args = parser.parse_args()
    _Mock.pause_s = args.pause_ms / 1000
    uvloop.run(_serve(args.port))
