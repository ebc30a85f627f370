"""A closed-loop client for chat endpoints: each connection sends, waits for the whole answer, sends again.

It is bounded in time and in requests, so it ends by itself. An answer counts only with status 200 and the right
content: the mock's mark, or all numbered pieces of a stream in order, however the gateway cut them into events.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

from bench.mock_upstream import MARK, MODEL, PIECES

SYSTEM = "You are a helpful assistant of a public library. Answer in the language of the question, in a friendly tone."
PROMPT = (
    "Our reading group meets on the first Thursday of the month and has read mostly crime novels this year. In spring"
    " we would like to turn to books about the sea: two novels, one travel report and one collection of poems, none of"
    " them longer than three hundred pages. Some of us read with glasses, so large print would be welcome. Which books"
    " would you suggest, in which order, and which questions could we talk about at each meeting?"
)
GRACE_S = 20.0
MAX_ERRORS = 50


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, over how many connections, and when it ends."""

    url: str
    connections: int
    seconds: float
    requests: int = 10**9
    stream: bool = False
    key: str = "sk-bench"

    def payload(self) -> bytes:
        """One HTTP request."""
        target = urlsplit(self.url)
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
        fields: dict[str, object] = {"model": MODEL, "messages": messages}
        body = json.dumps(fields | ({"stream": True} if self.stream else {})).encode()
        head = (
            f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class Tally:
    """What came back. Nanoseconds, one entry for each good answer."""

    latency: list[int] = field(default_factory=list)
    first_text: list[int] = field(default_factory=list)
    seconds: float = 0.0
    errors: int = 0
    first_error: str = ""

    @property
    def done(self) -> int:
        return len(self.latency)

    def fail(self, why: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or why


def run(load: Load) -> Tally:
    """Run it, on an event loop of its own."""
    return uvloop.run(_Run(load).execute())


class _Run:
    def __init__(self, load: Load) -> None:
        self.load, self.payload, self.tally = load, load.payload(), Tally()
        self._sent, self._deadline = 0, 0.0

    def may_send(self) -> bool:
        """Count one more request, if there is to be one."""
        ended = time.monotonic() >= self._deadline or self._sent >= self.load.requests
        if ended or self.tally.errors >= MAX_ERRORS:
            return False
        self._sent += 1
        return True

    async def execute(self) -> Tally:
        began = time.monotonic()
        self._deadline = began + self.load.seconds
        tasks = [asyncio.create_task(self._keep_connected()) for _ in range(self.load.connections)]
        _, late = await asyncio.wait(tasks, timeout=self.load.seconds + GRACE_S)
        for task in late:
            task.cancel()
            self.tally.fail("an answer did not end in time")
        self.tally.seconds = time.monotonic() - began
        return self.tally

    async def _keep_connected(self) -> None:
        """A server may close a connection between two requests; then the next one takes a new connection."""
        loop = asyncio.get_running_loop()
        target = urlsplit(self.load.url)
        for _ in range(MAX_ERRORS):
            over: asyncio.Future[bool] = loop.create_future()
            try:
                await loop.create_connection(partial(_Connection, self, over), target.hostname or "", target.port or 80)
            except OSError as exc:
                self.tally.fail(f"cannot connect: {exc.strerror}")
                return
            if await over:
                return


class _Connection(asyncio.Protocol):
    """One connection. Sets `over` to True when there is nothing more to send, False when it was closed before."""

    def __init__(self, run: _Run, over: asyncio.Future[bool]) -> None:
        self._run, self._over = run, over
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        if not self._run.may_send():
            self._end(all_sent=True)
            return
        self._body, self._waiting, self._first_text = bytearray(), True, 0
        self._sent = time.monotonic_ns()
        self._transport.write(self._run.payload)

    def _end(self, *, all_sent: bool) -> None:
        self._transport.close()
        if not self._over.done():
            self._over.set_result(all_sent)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._run.tally.fail("the answer is not HTTP")
            self._waiting = False
            self._end(all_sent=False)

    def on_body(self, body: bytes) -> None:
        self._body += body
        if self._run.load.stream and not self._first_text and streamed_text(self._body):
            self._first_text = time.monotonic_ns()

    def on_message_complete(self) -> None:
        now, tally, self._waiting = time.monotonic_ns(), self._run.tally, False
        status = self._parser.get_status_code()
        if status != 200 or not self._is_right():
            tally.fail(f"status {status}, {len(self._body)} bytes of another content than expected")
        else:
            tally.latency.append(now - self._sent)
            if self._first_text:
                tally.first_text.append(self._first_text - self._sent)
        if self._parser.should_keep_alive():
            self._send()
        else:
            self._end(all_sent=False)

    def _is_right(self) -> bool:
        if self._run.load.stream:
            return streamed_text(self._body) == "".join(PIECES)
        return MARK.encode() in self._body

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._run.tally.fail("the connection was closed before the answer was complete")
        self._end(all_sent=False)


def streamed_text(body: bytes | bytearray) -> str:
    """The text of the complete events in an event stream."""
    text = ""
    for event in bytes(body).split(b"\n\n")[:-1]:
        data = event.removeprefix(b"data: ")
        if data.startswith(b"{"):
            for choice in json.loads(data)["choices"]:
                text += choice["delta"].get("content") or ""
    return text
