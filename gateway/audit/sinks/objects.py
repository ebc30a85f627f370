"""The log as objects that are written once: one for the records of each window, and one for each other file or part.

A name says which records an object holds, so that the list of names alone tells how far the bucket has come, and no
object is ever replaced. A put whose answer was lost is done again after a look at the list; if both got there, they
overlap with equal bytes, which restore.py compares.
"""

from __future__ import annotations

from gateway.audit.sinks.bucket import Bucket
from gateway.audit.sinks.errors import SinkConflict
from gateway.audit.sinks.local import HISTORIES, MOST_HISTORY, LocalLog
from gateway.audit.sinks.position import START, Piece, Position
from gateway.audit.sinks.settings import ObjectPlace
from gateway.audit.sinks.stored import SEAL, SEAL_FILE, covered, last_byte, part_name, records_name


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
        self._bucket.put(records_name(piece.at.segment, piece.at.seq, len(piece.lines)), piece.data)

    def put_file(self, name: str, data: bytes) -> None:
        self._bucket.put(SEAL_FILE.sub(r"seals/\1", name), data)

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        self._bucket.put(part_name(name, offset, len(data)), data)

    def close(self) -> None:
        """Connections are kept by the client's pool, and made again where one broke."""
