"""Reads the local log for the sinks: what is durable and no more, in order, as it is stored.

There is one way to the bytes, whether a sink keeps up or was away for a week: the segment files. Bytes behind the last
durable record are never looked at, nor those of a lost segment that do not count. Each line has to follow from the one
before, so that a log that was altered while a sink was away does not reach it unnoticed.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from gateway.audit.checkpoints import HISTORY, last_note
from gateway.audit.merkle import leaf_hash
from gateway.audit.packed import open_stored, stored_size
from gateway.audit.recover import NO_LEAF
from gateway.audit.segments import LONGEST, Segment, claimed_end, list_segments, raw_lines, segment_path
from gateway.audit.sinks.errors import SinkConflict
from gateway.audit.sinks.position import Piece, Position
from gateway.audit.writer import b64

HISTORIES = (HISTORY, "anchors.log")
"""Files that grow at their end, besides the segments."""
MOST_HISTORY = 4 * 1024 * 1024
"""Bytes of one of them that are read at once."""
_LAST_OF_SEAL = re.compile(rb"^last ([0-9]{1,16})$", re.M)


class LocalLog:
    """The log directory, for reading. Used by several threads at once."""

    def __init__(self, directory: Path, origin: str) -> None:
        self.directory, self.origin = directory, origin

    def piece(self, at: Position, durable: int, most_bytes: int) -> Piece | None:
        """What follows `at`, of one segment, or None when nothing durable does."""
        if at.seq >= durable:
            return None
        following = self._segment_after(at.segment)
        if following is not None and at.seq >= following:
            at = Position(following, 0, at.seq, at.leaf)
            following = self._segment_after(following)
        stop = durable if following is None else min(durable, following)
        name = segment_path(self.directory, at.segment).name
        lines: list[bytes] = []
        leaves: list[bytes] = []
        leaf = at.leaf
        for stored in self._stored(at, most_bytes)[: stop - at.seq]:
            if b'"prev":"%b"' % b64(leaf).encode() not in stored:
                raise SinkConflict("log_changed", f"record {at.seq + len(lines)} in `{name}` is not what it was")
            leaf = leaf_hash(stored)
            lines.append(stored + b"\n")
            leaves.append(leaf)
        if not lines:
            raise SinkConflict("log_changed", f"`{name}` ends before record {stop - 1}, which was durable")
        return Piece(at, lines, leaves)

    def _stored(self, at: Position, most_bytes: int) -> list[bytes]:
        """Whole lines of a segment, without their newlines, durable or not; at least one if there is one."""
        with open_stored(segment_path(self.directory, at.segment)) as file:
            file.seek(at.offset)
            data = file.read(max(most_bytes, LONGEST))
        return data.split(b"\n")[:-1]

    def before(self, at: Position, size: int) -> bytes:
        """The bytes of a segment that end at a position; fewer where it has fewer."""
        with segment_path(self.directory, at.segment).open("rb") as file:
            start = file.seek(max(0, at.offset - size))
            return file.read(at.offset - start)

    def _segment_after(self, first: int) -> int | None:
        names = (name for name in os.listdir(self.directory / "seg") if name.endswith((".jsonl", ".jsonl.zst")))
        return min((number for name in names if (number := int(name.partition(".")[0])) > first), default=None)

    def newest_segment(self) -> Position:
        """Where the newest segment begins, for a sink that does not want what was before."""
        segments = list_segments(self.directory)
        first = segments[-1].first if segments else 0
        prev = json.loads(next(raw_lines(segments[-1].path)))["prev"] if segments else b64(NO_LEAF)
        return Position(first, 0, first, b64decode(prev))

    def segments(self) -> dict[int, int]:
        """First record -> bytes that count, of every segment."""
        found = list_segments(self.directory)
        return {segment.first: self._size(segment, found) for segment in found}

    @staticmethod
    def _size(segment: Segment, segments: list[Segment]) -> int:
        claimed = claimed_end(segment, segments)
        return claimed if claimed is not None else stored_size(segment.path)

    def small_files(self) -> list[str]:
        """Names of the files that are written once: `LOG`, keys, seals."""
        keys = [f"keys/{path.name}" for path in self.directory.glob("keys/*.vkey")]
        return ["LOG", *sorted(keys), *sorted(f"seg/{path.name}" for path in self.directory.glob("seg/*.seal"))]

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def history(self, name: str, offset: int) -> bytes:
        """What a growing file holds behind `offset`, up to its last whole entry."""
        try:
            with (self.directory / name).open("rb") as file:
                if file.seek(0, os.SEEK_END) < offset:
                    raise SinkConflict("log_changed", f"`{name}` has less than the {offset} bytes it had")
                file.seek(offset)
                data = file.read(MOST_HISTORY)
        except FileNotFoundError:
            return b""
        end = last_note(data)[1] if name == HISTORY else data.rfind(b"\n") + 1
        return data[:end]

    def history_end(self, name: str) -> int:
        """Size of a growing file up to its last whole entry."""
        try:
            size = (self.directory / name).stat().st_size
        except FileNotFoundError:
            return 0
        start = max(0, size - MOST_HISTORY)
        return start + len(self.history(name, start))

    def position(self, seq: int) -> Position:
        """The position before record `seq`, found by reading the segment that ends there."""
        first = max((found for found in self.segments() if found < seq), default=0)
        offset, number, leaf = 0, first, NO_LEAF
        for line in raw_lines(segment_path(self.directory, first)) if seq else ():
            offset, number, leaf = offset + len(line), number + 1, leaf_hash(line[:-1])
            if number == seq:
                break
        if number < seq:
            raise SinkConflict(
                "sink_ahead", f"it holds {seq} records, the log itself {number}: history is missing here"
            )
        return Position(first, offset, seq, leaf)


def covered_by_heads(parts: Mapping[str, bytes]) -> int:
    """How many records the newest head in these ends of growing files covers."""
    note, _ = last_note(parts.get(HISTORY, b""))
    return int(note.split(b"\n")[1]) if note else 0


def covered_by_seal(name: str, data: bytes) -> int:
    """How many records have to be there before this file may be; 0 for one that is no seal."""
    found = _LAST_OF_SEAL.search(data) if name.endswith(".seal") else None
    return int(found[1]) + 1 if found else 0
