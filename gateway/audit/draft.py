"""A record between being handed in and being written: checked and encoded, with holes where its place will stand.

Its number, link and times are known when its batch is made. All else is encoded once, on the thread of who hands
it in, so that nothing that happens to the record afterwards changes what is written; the writer only fills the holes.
A hole is a newline: no line of canonical JSON has one, whatever its strings hold.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from gateway.audit.exchanges import Change, change_of
from gateway.audit.record import Json, canonical, check_size

_HOLE: Final = b"\n"
_HOLES: Final = {
    "mono": orjson.Fragment(b'"\n"'),
    "prev": orjson.Fragment(b'"\n"'),
    "seq": orjson.Fragment(b"\n"),
    "ts": orjson.Fragment(b'"\n"'),
}
"""In the order in which they stand in a line, where keys are sorted."""


class Times(NamedTuple):
    """Of a batch, as they are written."""

    wall: bytes
    mono: bytes


class Draft(NamedTuple):
    """The line of a record, with holes, and what else the log has to know of it."""

    body: bytes
    change: Change | None
    begins: bool
    """Whether it admits an exchange."""

    def line(self, seq: int, prev: bytes, times: Times) -> bytes:
        """The whole line. `prev`: hash of the one before. RecordError: it is too long."""
        mono, link, number, wall, end = self.body.split(_HOLE)
        linked = b2a_base64(prev, newline=False)
        line = b"".join((mono, times.mono, link, linked, number, b"%d" % seq, wall, times.wall, end))
        check_size(line)
        return line


class Drafter:
    """Knows the fields that are the same in all records of one run. Any thread."""

    def __init__(self, constants: Mapping[str, Json]) -> None:
        self._envelope = {**constants, **_HOLES}

    def draft(self, record: Mapping[str, Json]) -> Draft:
        """RecordError: the record has no canonical form, or is too long."""
        return Draft(canonical(record, self._envelope), change_of(record), record.get("stage") == "admit")
