"""Each record as one message to a collector: RFC 5424 in the framing of RFC 5425, over TLS with a verified name.

Syslog has no acknowledgement. A record counts as passed on when the connection took it, which says nothing about the
collector's disk; so this sink never counts for `require`. When a connection breaks, what was sent in the last seconds
is sent again. The collector sees each record at least once, if it takes what it is sent, and tells repeats and gaps by
`seq`. The very first connection begins with the run of the gateway in which it happens, not with the log's first day.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque

from gateway.audit.checkpoints import HISTORY, last_note
from gateway.audit.sinks.errors import SinkError
from gateway.audit.sinks.local import HISTORIES, LocalLog
from gateway.audit.sinks.position import Piece, Position
from gateway.audit.sinks.settings import SyslogPlace
from gateway.audit.sinks.syslog_message import Header, head_message, record_message

CONNECT_S = 5.0
SEND_S = 10.0
AGAIN_S = 5.0
"""What was sent in so long a time before a failure is sent again."""


class SyslogSink:
    """Owned by its worker's thread."""

    most_bytes = 256 * 1024
    window_s = 0.0
    heads_every_s = 10.0

    def __init__(self, place: SyslogPlace, origin: str) -> None:
        self._place = place
        self._header = Header(socket.gethostname(), place.sd_id, origin, place.longest)
        self._connection: ssl.SSLSocket | None = None
        self._ends: dict[str, int] = {}
        self._sent: deque[tuple[float, Position]] = deque()
        """Positions after what was sent lately, with their times."""

    def connect(self, local: LocalLog, known: Position | None) -> Position:
        try:
            self._connection = self._open()
        except (OSError, ValueError) as exc:
            # A failed handshake is an OSError too; its text is the library's and holds nothing of ours.
            reason = getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or type(exc).__name__
            where = f"{self._place.host}:{self._place.port}"
            raise SinkError("sink_unreachable", f"no TLS connection to `{where}`: {reason}") from exc
        self._ends = {name: local.history_end(name) for name in HISTORIES}
        at = self._sent[0][1] if self._sent else known or local.newest_segment()
        self._sent.clear()
        return at

    def _open(self) -> ssl.SSLSocket:
        # Not ssl.create_default_context: it would write session keys to a file named by the environment.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._place.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._place.certificate is not None:
            context.load_cert_chain(self._place.certificate, self._place.key)
        plain = socket.create_connection((self._place.host, self._place.port), CONNECT_S)
        try:
            connection = context.wrap_socket(plain, server_hostname=self._place.server_name or self._place.host)
        # Whoever gets no connection cannot close it, whatever the reason.
        except BaseException:
            plain.close()
            raise
        connection.settimeout(SEND_S)
        return connection

    def held(self) -> dict[str, int]:
        """Heads signed before this connection are not sent again, or for the first time."""
        return self._ends

    def put(self, piece: Piece) -> None:
        self._remember(piece.at)
        lines = zip(piece.lines, piece.leaves, strict=True)
        messages = [
            record_message(self._header, piece.at.seq + index, line[:-1], leaf)
            for index, (line, leaf) in enumerate(lines)
        ]
        self._send(b"".join(messages))

    def _remember(self, at: Position) -> None:
        now = time.monotonic()
        while len(self._sent) > 1 and self._sent[1][0] < now - AGAIN_S:
            self._sent.popleft()
        if self._sent and self._sent[0][0] < now - AGAIN_S:
            self._sent.popleft()
        self._sent.append((now, at))

    def _send(self, data: bytes) -> None:
        assert self._connection is not None
        try:
            self._check_open()
            self._connection.sendall(data)
        except OSError as exc:
            raise SinkError("sink_unreachable", f"the connection broke: {type(exc).__name__}") from exc

    def _check_open(self) -> None:
        """A collector that hung up is noticed before the write that would still succeed."""
        assert self._connection is not None
        self._connection.settimeout(0.0)
        try:
            if not self._connection.recv(4096):
                raise ConnectionResetError
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        finally:
            self._connection.settimeout(SEND_S)

    def put_file(self, name: str, data: bytes) -> None:
        """Keys and seals are not records: a collector gets the heads, which is what it can compare."""

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        if name == HISTORY:
            self._send(head_message(self._header, last_note(data)[0]))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
