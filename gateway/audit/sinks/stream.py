"""One JetStream stream of a NATS server, as little of it as a log needs: append after exactly this message, look, get.

Every message is published with the number that the stream's last one must have, so that nothing can come between, and
with its name as id, so that a second try is not a second message. The client runs on an event loop of its own thread:
it answers the server's pings while nobody puts anything. It never connects again by itself; who owns this does, and
looks first at what is there. The server's texts stay outside, as they may quote anything.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RawStreamMsg, RetentionPolicy, StorageType, StreamInfo
from nats.js.errors import APIError, NotFoundError

from gateway.audit.sinks.errors import SinkConflict, SinkError, SinkFull
from gateway.audit.sinks.settings import StreamPlace
from gateway.audit.sinks.stored import Stored

T = TypeVar("T")
CONNECT_S, ANSWER_S, CLOSE_S = 5.0, 10.0, 1.0
NAME = "Gatehouse-Name"
_FULL = frozenset({10023, 10047, 10077, 10122})
"""The server's codes for: no resources, no storage, the stream's limit."""
_OTHER_LAST = 10071


class Stream:
    """Connected from `open` to `close`. Raises SinkError."""

    described = "the stream"

    def __init__(self, place: StreamPlace) -> None:
        self._place = place
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self.last = 0
        """Number of the stream's last message."""

    def open(self) -> StreamInfo:
        """Connect, and say what the stream holds."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="audit-stream", daemon=True)
        self._thread.start()
        self._client = Client()
        self._do(self._connect(self._client))
        info = self._do(self._js.stream_info(self._place.stream, subjects_filter=f"{self._place.subject}.>"))
        self.last = info.state.last_seq
        return info

    async def _connect(self, client: Client) -> None:
        place, login = self._place, self._place.login
        options: dict[str, Any] = {"tls": _context(place)} if place.is_tls else {}
        if login.jwt:
            options |= {"signature_cb": login.sign, "user_jwt_cb": login.jwt.encode}
        elif login.user:
            options |= {"user": login.user, "password": login.password}
        await client.connect(
            list(place.servers),
            name="gatehouse",
            allow_reconnect=False,
            connect_timeout=int(CONNECT_S),
            error_cb=_say_nothing,
            tls_hostname=place.server_name or None,
            **options,
        )

    @property
    def _js(self) -> JetStreamContext:
        assert self._client is not None
        return self._client.jetstream(timeout=ANSWER_S)

    def put(self, subject: str, name: str, data: bytes) -> None:
        """Returns when the server says that it holds this message, right after the last one."""
        headers = {NAME: name, "Nats-Msg-Id": f"{self._place.subject} {name}"}
        headers |= {"Nats-Expected-Last-Sequence": str(self.last), "Nats-Expected-Stream": self._place.stream}
        ack = self._do(self._js.publish(f"{self._place.subject}.{subject}", data, ANSWER_S, headers=headers))
        if ack.duplicate or ack.seq != self.last + 1:
            raise SinkError("sink_failed", f"`{name}` was there already, or is not the next message")
        self.last = ack.seq

    def newest(self, subject: str) -> tuple[str, bytes] | None:
        """Name and data of the last message under a subject."""
        try:
            found = self._do(self._js.get_last_msg(self._place.stream, f"{self._place.subject}.{subject}"))
        except NothingThere:
            return None
        return _name(found), found.data or b""

    def list(self, *, versions: bool = False) -> Iterator[Stored]:
        """Every message, in order; a hole in the numbers is one that was removed."""
        for number in range(1, self.last + 1):
            try:
                found = self._get(number)
            except NothingThere:
                yield Stored(f"message {number}", 0, str(number), "", None, True)
                continue
            data = found.data or b""
            yield Stored(_name(found), len(data), str(number), sha256(data).hexdigest(), found.time, False)

    def get(self, name: str, version: str | None = None) -> bytes:
        return self._get(int(version or 0)).data or b""

    def _get(self, number: int) -> RawStreamMsg:
        return self._do(self._js.get_msg(self._place.stream, seq=number))

    def close(self) -> None:
        """Let go. Raises nothing."""
        client, loop = self._client, self._loop
        self._client = self._loop = None
        if loop is None:
            return
        if client is not None:
            # Whatever a connection that is given up says at its end; the next one looks at what is there.
            with suppress(Exception):
                asyncio.run_coroutine_threadsafe(client.close(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done on the loop's thread."""
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(CONNECT_S + ANSWER_S)
        except NotFoundError as exc:
            raise NothingThere(f"the server knows no such stream or message: code {exc.err_code}") from exc
        except APIError as exc:
            raise _refused(exc) from exc
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as exc:
            future.cancel()
            raise SinkError("sink_unreachable", f"the server gave no answer: {type(exc).__name__}") from exc


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
    finally:
        loop.close()


class NothingThere(SinkError):
    """No such stream or message."""

    def __init__(self, problem: str) -> None:
        super().__init__("sink_unreachable", problem)


async def _say_nothing(error: Exception) -> None:
    """The client would print it."""


def _context(place: StreamPlace) -> ssl.SSLContext:
    # Not ssl.create_default_context: it would write session keys to a file named by the environment.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(place.ca) if place.ca is not None else context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if place.certificate is not None:
        context.load_cert_chain(place.certificate, place.key)
    return context


def _name(message: RawStreamMsg) -> str:
    return str((message.headers or {}).get(NAME, ""))


def _refused(exc: APIError) -> SinkError:
    if exc.err_code in _FULL:
        return SinkFull(f"the stream has no room: code {exc.err_code}")
    if exc.err_code == _OTHER_LAST:
        return SinkError("sink_failed", "somebody else put a message into the stream")
    return SinkError("sink_failed", f"the server refused: code {exc.err_code}")


def require_whole(info: StreamInfo, subject: str) -> None:
    """Raise SinkError for a stream that would forget by itself, has forgotten, or holds what is not this log."""
    config, state = info.config, info.state
    forgets = [
        (config.subjects != [f"{subject}.>"], f"its subjects are not `{subject}.>` alone"),
        (config.storage != StorageType.FILE, "it is not kept in files"),
        (config.retention != RetentionPolicy.LIMITS, "its retention is not `limits`"),
        (bool(config.max_age), "it has a `max_age`"),
        ((config.max_msgs_per_subject or -1) > 0, "it has a limit for each subject"),
        (_has_limit(info) and config.discard != DiscardPolicy.NEW, "it discards old messages"),
    ]
    for is_so, told in forgets:
        if is_so:
            raise SinkError("sink_failed", f"stream `{config.name}` would not keep the log: {told}")
    if state.num_deleted or state.first_seq > 1 or state.messages != state.last_seq:
        raise SinkConflict("sink_set_back", f"messages were removed from stream `{config.name}`")
    if sum((state.subjects or {}).values()) != state.messages:
        raise SinkConflict("sink_changed", f"stream `{config.name}` holds messages that are not of this log")


def _has_limit(info: StreamInfo) -> bool:
    return (info.config.max_msgs or -1) > 0 or (info.config.max_bytes or -1) > 0
