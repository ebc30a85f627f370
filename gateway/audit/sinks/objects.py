"""The log as objects that are written once: one for the records of each window, and one for each other file or part.

A name says which records an object holds, so that the list of names alone tells how far the bucket has come, and no
object is ever replaced. A put whose answer was lost is done again after a look at the list; if both got there, they
overlap with equal bytes, which restore.py compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.audit.sinks.bucket import Bucket, Stored
from gateway.audit.sinks.errors import SinkConflict
from gateway.audit.sinks.local import HISTORIES, MOST_HISTORY, LocalLog
from gateway.audit.sinks.position import START, Piece, Position
from gateway.audit.sinks.settings import ObjectPlace

RECORDS = re.compile(r"seg/([0-9]{16})/([0-9]{16})-([0-9]{16})\.jsonl")
SEAL = re.compile(r"^seals/([0-9]{16}\.seal)$")
"""Apart from the records, so that they can be listed without them; in a log directory they are `seg/<first>.seal`."""
SEAL_FILE = re.compile(r"^seg/([0-9]{16}\.seal)$")
PART = re.compile(r"(checkpoints\.log|anchors\.log)/([0-9]{16})-([0-9]{16})")
"""From one byte up to another of a growing file."""


class ObjectSink:
    """Owned by its worker's thread."""

    most_bytes = 4 * 1024 * 1024
    """Below what the client would divide into parts."""
    heads_every_s = 10.0

    def __init__(self, place: ObjectPlace, origin: str) -> None:
        self.window_s = place.window_s
        self._bucket = Bucket(place, origin)
        self._ends: dict[str, int] = {}

    def connect(self, local: LocalLog, known: Position | None) -> Position:
        self._ends = {name: local.history_end(name) for name in HISTORIES}
        start = known or START
        seq = covered(self._bucket.list("seg/", f"seg/{start.segment:016d}"), start.segment)
        if seq < start.seq:
            problem = f"it holds records up to {seq} and had acknowledged {start.seq}"
            raise SinkConflict("sink_set_back", problem)
        return start if seq == start.seq else local.position(seq)

    def held(self) -> dict[str, int]:
        found = [stored for inside in ("LOG", "keys/", "seals/") for stored in self._bucket.list(inside)]
        small = {SEAL.sub(r"seg/\1", stored.name): stored.size for stored in found}
        return small | {name: self._history_end(name) for name in HISTORIES}

    def _history_end(self, name: str) -> int:
        """Looks at the newest names only, unless there are none: years of heads are many objects."""
        recent = f"{name}/{max(0, self._ends[name] - MOST_HISTORY):016d}"
        return last_byte(self._bucket.list(f"{name}/", recent)) or last_byte(self._bucket.list(f"{name}/"))

    def put(self, piece: Piece) -> None:
        last = piece.at.seq + len(piece.lines) - 1
        self._bucket.put(f"seg/{piece.at.segment:016d}/{piece.at.seq:016d}-{last:016d}.jsonl", piece.data)

    def put_file(self, name: str, data: bytes) -> None:
        self._bucket.put(SEAL_FILE.sub(r"seals/\1", name), data)

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        self._bucket.put(f"{name}/{offset:016d}-{offset + len(data):016d}", data)

    def close(self) -> None:
        """Connections are kept by the client's pool, and made again where one broke."""


def covered(objects: Iterable[Stored], begin: int) -> int:
    """Up to which record these objects hold all from `begin` on."""
    ranges = sorted((int(found[2]), int(found[3])) for item in objects if (found := RECORDS.fullmatch(item.name)))
    end = begin
    for first, last in ranges:
        if first <= end <= last:
            end = last + 1
    return end


def last_byte(objects: Iterable[Stored]) -> int:
    """Up to where these parts of a growing file go."""
    return max((int(found[3]) for item in objects if (found := PART.fullmatch(item.name))), default=0)
