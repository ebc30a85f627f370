"""Server-sent events as the WHATWG specification reads them, with caps, and as we write them.

Libraries differ (a byte order mark loses the first event in some, an unterminated last event is delivered by others),
so what arrives is parsed here once, strictly, and what leaves is always written anew. An event that was cut off is
never delivered: the caller sees the stream end without its terminator and treats the answer as failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.errors import UpstreamFailed

MAX_LINE: Final = 256 * 1024
MAX_EVENT: Final = 1024 * 1024
DONE: Final = b"data: [DONE]\n\n"


class EventParser:
    """Bytes in, the `data` of whole events out. Raises UpstreamFailed on invalid UTF-8 and on lines over the caps."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._data: list[str] = []
        self._size = 0
        self._begun = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of every event completed by this chunk."""
        if self._begun and not self._after_cr and b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)  # a long line in small pieces: joined once, not with every piece
            return
        lines, rest = self._split(b"".join((*self._rest, chunk)))
        self._rest, self._rest_size = [], 0
        self._keep(rest)
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _keep(self, piece: bytes) -> None:
        self._rest.append(piece)
        self._rest_size += len(piece)
        if self._rest_size > MAX_LINE:
            raise UpstreamFailed("upstream_bad_stream", "the model server sent a line that is too long")

    def _split(self, data: bytes) -> tuple[list[bytes], bytes]:
        if not self._begun and len(data) >= 3:
            data, self._begun = data.removeprefix(b"\xef\xbb\xbf"), True
        if self._after_cr and data:
            data, self._after_cr = data.removeprefix(b"\n"), False
        if data.endswith(b"\r"):
            self._after_cr = True
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        return lines, rest

    def _line(self, line: bytes) -> str | None:
        if not line:
            event = "\n".join(self._data) if self._data else None
            self._data, self._size = [], 0
            return event
        name, _, value = line.partition(b":")
        if name != b"data":
            return None  # comments, `event`, `id` and `retry` carry nothing of ours and are not passed on
        self._size += len(value) + 1  # the line break that joins it: empty lines cost memory, too
        if len(line) > MAX_LINE or self._size > MAX_EVENT:
            raise UpstreamFailed("upstream_bad_stream", "the model server sent an event that is too large")
        try:
            self._data.append(value.removeprefix(b" ").decode("utf-8"))
        except UnicodeDecodeError:
            raise UpstreamFailed("upstream_bad_stream", "the model server sent bytes that are not UTF-8") from None
        return None


def comment(text: str) -> bytes:
    """A line that clients skip by the specification, for those who look."""
    return b": %s\n\n" % text.encode()


def event(data: bytes) -> bytes:
    """One event of ours. `data` is JSON written by us, so it holds no line break."""
    return b"data: %s\n\n" % data
