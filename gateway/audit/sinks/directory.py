"""A copy of the log in another directory, byte for byte, so that `gatehouse audit verify --dir COPY` proves it.

Records are written by the same code as those of the log itself, with the same care for short writes, failed syncs and
files that somebody else touched. At each connection the copy is compared with the log: its last segment byte by byte,
earlier ones by their sizes. A copy that is something else, or holds less than it had acknowledged, is left alone until
a person has looked: writing on would hide what happened to it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from gateway.audit.checkpoints import HISTORY, NEWEST, last_note
from gateway.audit.errors import AuditUnavailable, SegmentLost
from gateway.audit.files import Files, make_directories, write_all, write_new_file
from gateway.audit.merkle import leaf_hash
from gateway.audit.packed import stored_size
from gateway.audit.segments import Segment, list_segments, raw_lines, segment_path, starts_with_record
from gateway.audit.sinks.errors import SinkConflict, SinkError, SinkFull
from gateway.audit.sinks.local import HISTORIES, LocalLog
from gateway.audit.sinks.position import START, Piece, Position
from gateway.audit.store import Store

_NO_LIMIT = 1 << 62
_COMPARED = 64 * 1024
"""Bytes at the end of a growing file that are compared at a connection."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DirectorySink:
    """Owned by its worker's thread."""

    most_bytes = 1024 * 1024
    window_s = 0.0
    heads_every_s = 1.0

    def __init__(self, path: Path, files: Files) -> None:
        self._path, self._files = path, files
        self._store = Store(files, path, _NO_LIMIT)
        self._doubted = False
        """A sync failed: lines that were not acknowledged may be in memory only, though they can be read."""

    def connect(self, local: LocalLog, known: Position | None) -> Position:
        if not self._path.is_dir():
            raise SinkError(
                "sink_unreachable", f"`{self._path}` is not there; it is never made, as a disk may be missing"
            )
        make_directories(self._files, self._path / "seg")
        self._compare_files(local)
        at = self._compare(local)
        if known is not None and at.seq < known.seq:
            problem = f"`{self._path}` holds {at.seq} records and had acknowledged {known.seq}"
            raise SinkConflict("sink_set_back", problem)
        if self._doubted and known is not None and known.segment == at.segment:
            at = known
        if at.offset:
            self._store.resume(at.segment, at.offset)
        self._doubted = False
        return at

    def _compare(self, local: LocalLog) -> Position:
        """Where the copy ends, after a look at whether it is a beginning of the log."""
        copies = list_segments(self._path)
        while copies and not starts_with_record(copies[-1]):
            # Nothing in it ever counted; the store makes room when it comes to this name again.
            copies.pop()
        if not copies:
            return START
        ours = local.segments()
        last = copies.pop()
        expected = {first: size for first, size in ours.items() if first < last.first}
        if {copy.first: stored_size(copy.path) for copy in copies} != expected or last.first not in ours:
            raise SinkConflict("sink_changed", f"`{self._path}` has other segments than the log, or of other sizes")
        return _compare_lines(last, segment_path(local.directory, last.first), ours[last.first])

    def _compare_files(self, local: LocalLog) -> None:
        for name in ("LOG", *HISTORIES):
            copy = _tail(self._path / name)
            if copy is not None and copy != _tail(local.directory / name, copy[0]):
                raise SinkConflict("sink_changed", f"`{self._path / name}` is not what the log has there")

    def held(self) -> dict[str, int]:
        names = ["LOG", *HISTORIES]
        names += [f"{path.parent.name}/{path.name}" for path in self._path.glob("seg/*.seal")]
        names += [f"{path.parent.name}/{path.name}" for path in self._path.glob("keys/*.vkey")]
        return {name: (self._path / name).stat().st_size for name in names if (self._path / name).exists()}

    def put(self, piece: Piece) -> None:
        if piece.at.offset == 0:
            self._store.close()
        try:
            self._store.commit(piece.at.seq, piece.data, 0)
        except SegmentLost as exc:
            self._doubted = True
            self._cut(piece)
            raise SinkError("sink_failed", exc.problem) from exc
        except AuditUnavailable as exc:
            if isinstance(exc.__cause__, OSError) and exc.__cause__.errno in _NO_ROOM:
                raise SinkFull(exc.problem) from exc
            raise SinkError("sink_changed", exc.problem) from exc

    def _cut(self, piece: Piece) -> None:
        """Take back what was not acknowledged, so that the next process does not find it either."""
        path = segment_path(self._path, piece.at.segment)
        with suppress(OSError):
            if piece.at.offset == 0:
                self._files.unlink(path)
            else:
                descriptor = self._files.open(path, os.O_WRONLY)
                try:
                    self._files.truncate(descriptor, piece.at.offset)
                finally:
                    self._files.close(descriptor)

    def put_file(self, name: str, data: bytes) -> None:
        path = self._path / name
        make_directories(self._files, path.parent)
        write_new_file(self._files, path, data)
        self._files.sync_directory(path.parent)

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        descriptor = self._files.open(self._path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            if self._files.state(descriptor).size != offset:
                raise SinkError("sink_changed", f"`{self._path / name}` has not the {offset} bytes it had")
            write_all(self._files, descriptor, data)
            self._files.datasync(descriptor)
        except OSError:
            with suppress(OSError):
                self._files.truncate(descriptor, offset)
            raise
        finally:
            self._files.close(descriptor)
        if name == HISTORY:
            write_new_file(self._files, self._path / NEWEST, last_note(data)[0])
        self._files.sync_directory(self._path)

    def close(self) -> None:
        self._store.close()


def _compare_lines(copy: Segment, ours: Path, size: int) -> Position:
    """The end of the last whole line of a copied segment, if everything up to there is in ours."""
    at = Position(copy.first, 0, copy.first, b"")
    theirs = raw_lines(copy.path)
    for own, line in zip(raw_lines(ours, 0, size), theirs, strict=False):
        if line != own:
            if not line.endswith(b"\n") and own.startswith(line):
                return at
            raise SinkConflict("sink_changed", f"`{copy.path}` differs from the log in record {at.seq}")
        at = Position(copy.first, at.offset + len(line), at.seq + 1, leaf_hash(line[:-1]))
    if next(theirs, b""):
        raise SinkConflict("sink_ahead", f"`{copy.path}` holds more than the log itself")
    return at


def _tail(path: Path, size: int | None = None) -> tuple[int, bytes] | None:
    """How long a file is, or `size`, and the bytes before there; None if it is missing."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END) if size is None else size
            start = file.seek(max(0, end - _COMPARED))
            return end, file.read(end - start)
    except FileNotFoundError:
        return None
