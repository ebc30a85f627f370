"""Durable append to segment files: what returns from `commit` survives a power cut.

The order is the point. A new segment's name is synced into its directory before the first byte is written. A batch is
written whole, then synced, then counted; until then the segment ends, for us, at the last counted byte. A disk that is
full leaves a short write, which is cut off again. After a failed sync the descriptor is never used again, as the
kernel may have dropped the pages and report success next time: the segment ends at its last counted byte, and the
next one says so. A segment that somebody else touched is not written to: records already promised may be gone.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gateway.audit.errors import AuditUnavailable, SegmentLost
from gateway.audit.files import Files, FileState, write_all
from gateway.audit.segments import Continues, aside_path, segment_path

DAY_NS = 86_400 * 10**9
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class _Open:
    """The segment being written."""

    path: Path
    first: int
    descriptor: int
    identity: tuple[int, int]
    day: int
    size: int = 0
    """Bytes that are synced. Everything behind them is not part of the log."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What the first record of the next segment has to tell."""

    where: str
    continues: Continues | None
    """None when the lost segment held nothing that counts."""


class Store:
    """The open end of the log. Owned by the writer thread."""

    def __init__(self, files: Files, directory: Path, segment_bytes: int) -> None:
        self._files, self._directory, self._segment_bytes = files, directory, segment_bytes
        self._open: _Open | None = None
        self.mishap: Mishap | None = None
        """Set while a segment was lost and no record says so yet."""

    def commit(self, first: int, data: bytes, wall_ns: int) -> None:
        """Append lines beginning with record `first`, and return when they are durable.

        SegmentLost: try once more, with a record of the mishap in front. AuditUnavailable: nothing was added.
        """
        segment = self._segment_for(first, len(data), wall_ns // DAY_NS)
        self._check_untouched(segment)
        self._append(segment, data)
        try:
            self._files.datasync(segment.descriptor)
        except OSError as exc:
            self._abandon(segment, "sync", exc)
        segment.size += len(data)
        self.mishap = None

    def close(self) -> None:
        if self._open is not None:
            self._close(self._open)

    def _segment_for(self, first: int, size: int, day: int) -> _Open:
        current = self._open
        full = current is not None and current.size > 0 and current.size + size > self._segment_bytes
        if current is not None and (full or (current.size > 0 and current.day != day)):
            self._close(current)
        if self._open is None:
            self._open = self._create(first, day)
        return self._open

    def _create(self, first: int, day: int) -> _Open:
        path = segment_path(self._directory, first)
        try:
            self._clear_name(path)
            descriptor = self._files.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
            try:
                self._files.sync_directory(path.parent)
                state = self._files.state(descriptor)
            except OSError:
                self._files.close(descriptor)
                raise
        except OSError as exc:
            raise AuditUnavailable(f"segment `{path.name}` cannot be created: {exc.strerror}") from exc
        return _Open(path, first, descriptor, (state.device, state.inode), day)

    def _clear_name(self, path: Path) -> None:
        """Make room for a segment that never got a counted byte: empty, or lost in its first batch."""
        try:
            size = self._files.state_of_path(path).size
        except FileNotFoundError:
            return
        if size == 0:
            self._files.unlink(path)
        else:
            self._files.rename(path, aside_path(path, "void"))

    def _check_untouched(self, segment: _Open) -> None:
        try:
            held, named = self._files.state(segment.descriptor), self._files.state_of_path(segment.path)
        except OSError as exc:
            raise AuditUnavailable(f"segment `{segment.path.name}` is gone: {exc.strerror}") from exc
        if _identity(held) != segment.identity or _identity(named) != segment.identity:
            raise AuditUnavailable(f"segment `{segment.path.name}` was replaced by another file")
        if held.size != segment.size:
            found = f"{held.size} bytes, expected {segment.size}"
            raise AuditUnavailable(f"segment `{segment.path.name}` was changed by somebody else: {found}")

    def _append(self, segment: _Open, data: bytes) -> None:
        try:
            write_all(self._files, segment.descriptor, data)
        except OSError as exc:
            if exc.errno not in _NO_ROOM:
                self._abandon(segment, "write", exc)
            self._cut_back(segment)
            raise AuditUnavailable(f"no room for {len(data)} bytes: {exc.strerror}") from exc

    def _cut_back(self, segment: _Open) -> None:
        try:
            self._files.truncate(segment.descriptor, segment.size)
        except OSError as exc:
            self._abandon(segment, "truncate", exc)

    def _abandon(self, segment: _Open, where: str, exc: OSError) -> NoReturn:
        """Never use this descriptor again, and remember up to where its file counts."""
        self._close(segment)
        if segment.size > 0:
            self.mishap = Mishap(where, Continues(segment.first, segment.size))
        else:
            self.mishap = Mishap(where, self.mishap.continues if self.mishap is not None else None)
        raise SegmentLost(f"{where} of segment `{segment.path.name}` failed: {exc.strerror}") from exc

    def _close(self, segment: _Open) -> None:
        self._open = None
        # What counts was synced; what a failing close could still lose does not count.
        with suppress(OSError):
            self._files.close(segment.descriptor)


def _identity(state: FileState) -> tuple[int, int]:
    return (state.device, state.inode)
