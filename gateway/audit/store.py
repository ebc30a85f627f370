"""Durable append to segment files: what returns from `commit` survives a power cut.

The order is the point. A new segment's name is synced into its directory before the first byte is written. A batch is
written whole, then synced, then counted; until then the segment ends, for us, at the last counted byte. A disk that is
full leaves a short write, which is cut off again. After a failed sync the descriptor is never used again, as the
kernel may have dropped the pages and report success next time: the segment ends at its last counted byte, and the
next one says so. A segment that somebody else touched is not written to: records already promised may be gone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gateway.audit.errors import AuditUnavailable, SegmentLost, is_full, unavailable
from gateway.audit.files import Files, FileState, write_all, write_new_file
from gateway.audit.seal import seal_path
from gateway.audit.segments import Continues, aside_path, segment_path

if TYPE_CHECKING:
    from hashlib import _Hash

DAY_NS = 86_400 * 10**9


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
    digest: _Hash = field(default_factory=sha256)
    """Over those bytes, kept up with them so that closing a large segment stops nobody."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A segment that will not grow any more, and has no seal yet."""

    path: Path
    first: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Mishap:
    """What the first record of the next segment has to tell."""

    where: str
    continues: Continues | None
    """None when the lost segment held nothing that counts."""


class Store:
    """The open end of the log. Owned by the writer thread."""

    def __init__(self, files: Files, directory: Path, segment_bytes: int) -> None:
        self._files, self.directory, self._segment_bytes = files, directory, segment_bytes
        self._open: _Open | None = None
        self.mishap: Mishap | None = None
        """Set while a segment was lost and no record says so yet."""
        self.closed: Closed | None = None
        """The segment before the next one, until somebody has sealed it."""

    @property
    def begins(self) -> bool:
        """Whether what is committed next begins a segment."""
        return self._open is None

    def make_room(self, size: int, wall_ns: int) -> None:
        """End the open segment if so many bytes of that day belong into a new one."""
        current = self._open
        if current is None or current.size == 0:
            return
        if current.size + size > self._segment_bytes or current.day != wall_ns // DAY_NS:
            self._close(current)

    def end_segment(self) -> None:
        """What comes next begins a new segment."""
        if self._open is not None and self._open.size > 0:
            self._close(self._open)

    def seal(self, note: bytes) -> None:
        """Put the seal of the closed segment beside it. AuditUnavailable: it is not there, and has to be."""
        assert self.closed is not None  # the caller made the note from it
        path = seal_path(self.closed.path)
        try:
            write_new_file(self._files, path, note)
            self._files.sync_directory(path.parent)
        except OSError as exc:
            raise unavailable(f"seal `{path.name}` cannot be written", exc) from exc
        self.closed = None

    def commit(self, first: int, data: bytes, wall_ns: int, *, grow: bool = False) -> None:
        """Append lines beginning with record `first`, and return when they are durable. `grow`: in the open segment,
        however large it becomes.

        SegmentLost: try once more, with a record of the mishap in front. AuditUnavailable: nothing was added.
        """
        if not grow:
            self.make_room(len(data), wall_ns)
        if self._open is None:
            self._open = self._create(first, wall_ns // DAY_NS)
        segment = self._open
        self._check_untouched(segment)
        self._append(segment, data)
        try:
            self._files.datasync(segment.descriptor)
        except OSError as exc:
            self._abandon(segment, "sync", exc)
        segment.size += len(data)
        segment.digest.update(data)
        self.mishap = None

    def resume(self, first: int, size: int) -> None:
        """Go on with a segment that is there, of which `size` bytes count; for copies of a log, as a log itself begins
        a new one at each start. Raises OSError."""
        self.close()
        path = segment_path(self.directory, first)
        descriptor = self._files.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            self._files.truncate(descriptor, size)
            self._files.datasync(descriptor)
            state = self._files.state(descriptor)
        except OSError:
            self._files.close(descriptor)
            raise
        self._open = _Open(path, first, descriptor, (state.device, state.inode), 0, size)

    def close(self) -> None:
        if self._open is not None:
            self._close(self._open)

    def _create(self, first: int, day: int) -> _Open:
        path = segment_path(self.directory, first)
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
            raise unavailable(f"segment `{path.name}` cannot be created", exc) from exc
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
            if not is_full(exc):
                self._abandon(segment, "write", exc)
            self._cut_back(segment)
            raise unavailable(f"no room for {len(data)} bytes", exc) from exc

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
        if segment.size > 0:
            self.closed = Closed(segment.path, segment.first, segment.size, segment.digest.digest())
        # What counts was synced; what a failing close could still lose does not count.
        with suppress(OSError):
            self._files.close(segment.descriptor)


def _identity(state: FileState) -> tuple[int, int]:
    return (state.device, state.inode)
