"""One connection between a worker and its lead: calls that are answered, and words that are not, in both directions.

What is sent within one turn of the event loop leaves in one piece: the lead's answers for a whole batch of records do,
as they become durable together. Who is at the other end is asked of the kernel: nobody but the same user. A line that
is cut fails every call that waits, and stays cut.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar, cast

import structlog

from gateway import errors
from gateway.audit.errors import RecordError
from gateway.errors import GatewayError, InternalError, Unavailable
from gateway.logs import log_bug
from gateway.worker.errors import LineBrokenError, WireError
from gateway.worker.wire import Body, Kind, Message, Reader, packed

T = TypeVar("T")
Answer = Body | Coroutine[Any, Any, Body]
"""To a call: at once, or when it is done."""
SILENT_S: Final = 5.0
"""After so long without a word a process counts as away. Each says something every second."""
_CREDENTIALS: Final = struct.Struct("3i")
_ERRORS: Final = {kind.__name__: kind for kind in (errors.TooMany, errors.BadRequest, errors.NotFound, Unavailable)}
log = structlog.get_logger()


class Side(Protocol):
    """What answers at one end."""

    def began(self, line: Line) -> None: ...

    def called(self, kind: Kind, body: Body) -> Answer:
        """Raises GatewayError. Called in the order in which messages come."""
        ...

    def told(self, kind: Kind, body: Body) -> None: ...

    def ended(self) -> None:
        """The line is cut. Once."""
        ...


class Line(asyncio.Protocol):
    """Belongs to one event loop."""

    owner = os.geteuid()
    """Who may be at the other end."""

    def __init__(self, side: Side) -> None:
        self._side, self._reader = side, Reader()
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[Body], Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self.heard_at = time.monotonic()
        self.peer = 0
        """The other process."""
        self.is_open = False

    async def call(self, kind: Kind, body: Body, read: Callable[[Body], T]) -> T:
        """The answer, read before any later message is. Raises LineBrokenError, or what the answer says."""
        if not self.is_open:
            raise LineBrokenError
        self._number = number = self._number % 0xFFFF_FFFF + 1
        data = _packed(kind, number, body)
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting[number] = (future, read)
        self._send(data)
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    @property
    def is_silent(self) -> bool:
        """Whether the other process is stopped, or hangs."""
        return time.monotonic() - self.heard_at > SILENT_S

    def tell(self, kind: Kind, body: Body) -> None:
        """Say something that needs no answer. To nobody, when the line is cut."""
        if self.is_open:
            self._send(_packed(kind, 0, body))

    def cut(self) -> None:
        """End it, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def close(self) -> None:
        """End it when what was said has left."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    async def settled(self) -> None:
        """Return when every call of the other side has been worked off. The line may be cut long since."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer, user = _peer(transport.get_extra_info("socket").fileno())
        if user != self.owner:
            log.error("foreign_peer", pid=self.peer, uid=user)
            self._transport.abort()
            return
        self.is_open = True
        self._side.began(self)

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        try:
            for message in self._reader.messages(data):
                self._take(message)
        except WireError as exc:
            log.error("line_cut", problem=str(exc), peer=self.peer)
            self.cut()
        # Fields of a message that are not what they should be: the same as one that cannot be read.
        except (KeyError, TypeError, ValueError) as exc:
            log_bug("", exc)
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(LineBrokenError())
        self._side.ended()

    def _take(self, message: Message) -> None:
        kind, number, body = message
        if kind in (Kind.DONE, Kind.FAILED):
            self._settle(kind, number, body)
        elif number:
            self._answer(kind, number, body)
        else:
            self._side.told(kind, body)

    def _settle(self, kind: Kind, number: int, body: Body) -> None:
        future, read = self._waiting.pop(number, (None, None))
        if future is None or read is None or future.done():
            return
        if kind is Kind.FAILED:
            future.set_exception(_error(body))
            return
        try:
            future.set_result(read(body))
        except (KeyError, TypeError, ValueError):
            future.set_exception(LineBrokenError())
            raise

    def _answer(self, kind: Kind, number: int, body: Body) -> None:
        try:
            answer = self._side.called(kind, body)
        except GatewayError as exc:
            self._send(_failed(number, exc))
            return
        if isinstance(answer, dict):
            self._send(packed(Kind.DONE, number, answer))
            return
        task = self._loop.create_task(self._answered(number, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, number: int, work: Coroutine[Any, Any, Body]) -> None:
        try:
            said = packed(Kind.DONE, number, await work)
        except GatewayError as exc:
            said = _failed(number, exc)
        except RecordError as exc:
            said = packed(Kind.FAILED, number, {"error": "RecordError", "code": "", "message": str(exc)})
        # A bug in one answer must not leave its caller waiting for ever, nor end the line for all others.
        except Exception as exc:  # noqa: BLE001
            log_bug("", exc)
            said = _failed(number, InternalError())
        if self.is_open:
            self._send(said)

    def _send(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))


def _packed(kind: Kind, number: int, body: Body) -> bytes:
    try:
        return packed(kind, number, body)
    except WireError as exc:
        log.error("message_refused", problem=str(exc))
        raise LineBrokenError from exc


def _failed(number: int, exc: GatewayError) -> bytes:
    return packed(Kind.FAILED, number, {"error": type(exc).__name__, "code": exc.code, "message": exc.message})


def _error(body: Body) -> Exception:
    name, code, message = str(body["error"]), str(body["code"]), str(body["message"])
    if name == "RecordError":
        return RecordError(message)
    return _ERRORS[name](code, message) if name in _ERRORS else Unavailable(code or "audit_unavailable", message)


def _peer(descriptor: int) -> tuple[int, int]:
    """Process and user at the other end."""
    with socket.socket(fileno=os.dup(descriptor)) as own:
        pid, user, _ = _CREDENTIALS.unpack(own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, user
