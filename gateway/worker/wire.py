"""Messages between a worker and its lead, as bytes: kind, number, length, and a JSON object.

A message that is answered has a number above 0, and its answer has the same one. What a kind may hold is bounded before
anything of it is read: most are a few hundred bytes, one may carry the text of an exchange.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from gateway.jsonstrict import Json
from gateway.worker.errors import WireError

Body = dict[str, Json]
_HEAD: Final = struct.Struct(">BII")
_SMALL: Final = 64 * 1024
_TEXT: Final = 256 * 1024 * 1024
"""The text of an exchange, escaped: a body has at most 64 MiB, an answer 16."""


class Kind(IntEnum):
    """What a message is about."""

    DONE = 1
    """An answer."""
    FAILED = 2
    """An answer: `error`, `code` and `message`."""

    HELLO = 10
    """A worker: its `number`. Answered with the configuration that it works by."""
    JOIN = 11
    """It can take policies. Answered when it has all that there are."""
    ENTER = 12
    LEAVE = 13
    APPEND = 14
    SIGNED = 15
    """Append, and sign the receipt."""
    LOGIN = 16
    """A failed one."""
    KEEP = 17
    SUBJECT = 18
    REVIEW = 19
    CANCEL = 20
    """A review whose client has gone."""
    NOTE = 21
    """A candidate on trial decided."""
    WELL = 22
    """How the worker is doing. Once a second."""
    EXPOSE = 23
    """Metrics of all processes, as text."""
    PARTING = 24
    """A worker that ends: its last counts."""

    POLICY = 40
    """The lead: a policy to be ready for, and those that are still needed."""
    COUNTS = 41
    STATE = 42
    """How the lead is doing. Once a second."""
    MODEL = 44
    """One that requests can name from now on, or no more."""
    FAREWELL = 43
    """The lead ends: no exchange may begin."""


LARGEST: Final = {kind: _SMALL for kind in Kind} | {
    Kind.APPEND: 256 * 1024,
    Kind.SIGNED: 256 * 1024,
    Kind.KEEP: _TEXT,
    Kind.REVIEW: _TEXT,
    Kind.SUBJECT: 1024 * 1024,
    Kind.POLICY: 128 * 1024 * 1024,
    Kind.DONE: 16 * 1024 * 1024,
    Kind.PARTING: 16 * 1024 * 1024,
}
"""Bytes of the JSON. A record has at most 32 KiB, but is written once more by the log, with fields of its own."""


class Message(NamedTuple):
    """One, as it came."""

    kind: Kind
    number: int
    body: Body


def packed(kind: Kind, number: int, body: Body) -> bytes:
    """The bytes of a message. WireError for one that the other side would refuse."""
    try:
        data = orjson.dumps(body)
    except orjson.JSONEncodeError as exc:
        raise WireError(f"{kind.name} holds what is not JSON") from exc
    if len(data) > LARGEST[kind]:
        raise WireError(f"{kind.name} of {len(data)} bytes, expected at most {LARGEST[kind]}")
    return _HEAD.pack(kind, number, len(data)) + data


class Reader:
    """Messages out of the pieces in which they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def messages(self, data: bytes) -> Iterator[Message]:
        """Those that are complete. WireError: the rest cannot be read either."""
        self._buffer += data
        at = 0
        while (end := self._end(at)) is not None:
            kind, number, _ = _HEAD.unpack_from(self._buffer, at)
            body = _object(self._buffer[at + _HEAD.size : end])
            at = end
            yield Message(Kind(kind), number, body)
        del self._buffer[:at]

    def _end(self, at: int) -> int | None:
        """Where the message ends that begins here, if all of it is there."""
        if len(self._buffer) < at + _HEAD.size:
            return None
        kind, _, size = _HEAD.unpack_from(self._buffer, at)
        largest = LARGEST.get(kind)
        if largest is None or size > largest:
            raise WireError(f"a message of kind {kind} and {size} bytes, expected at most {largest or 0}")
        end: int = at + _HEAD.size + size
        return end if end <= len(self._buffer) else None


def _object(data: bytearray) -> Body:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise WireError("a message is not JSON") from exc
    if not isinstance(body, dict):
        raise WireError("a message is no object")
    return body
