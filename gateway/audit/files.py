"""Every file operation that the audit log's durability rests on, behind one seam.

Tests put a double here that fails, cuts short or forgets any single operation. Nothing above this file calls `os`
for writing. Reading goes through ordinary files, as a read cannot lose a record.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FileState:
    """What identifies an open file, and shows that nobody else touched it."""

    device: int
    inode: int
    links: int
    size: int


@dataclass(frozen=True, slots=True)
class Space:
    """How much room a disk has, in bytes."""

    free: int
    """For this process; what is kept for root is not counted."""
    total: int


class Files(Protocol):
    """Operations of the kernel. Each raises OSError or has happened; only `sync` makes one survive a power cut."""

    def open(self, path: Path, flags: int) -> int:
        """Open with mode 0600 and close-on-exec."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Returns how much was taken, which may be less than given."""

    def datasync(self, descriptor: int) -> None: ...

    def sync_directory(self, path: Path) -> None:
        """Makes created, renamed and removed names in this directory durable."""

    def truncate(self, descriptor: int, size: int) -> None: ...

    def allocate(self, descriptor: int, size: int) -> None:
        """Give the file so many bytes that nobody else can take."""

    def close(self, descriptor: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def make_directory(self, path: Path) -> None: ...

    def state(self, descriptor: int) -> FileState: ...

    def state_of_path(self, path: Path) -> FileState: ...

    def space(self, path: Path) -> Space: ...

    def lock(self, descriptor: int) -> None:
        """Take the exclusive lock or raise BlockingIOError at once. Held until close."""


class OsFiles:
    """The real ones."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        return os.write(descriptor, data)

    def datasync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def allocate(self, descriptor: int, size: int) -> None:
        os.posix_fallocate(descriptor, 0, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def make_directory(self, path: Path) -> None:
        os.mkdir(path, 0o700)

    def state(self, descriptor: int) -> FileState:
        return _state(os.fstat(descriptor))

    def state_of_path(self, path: Path) -> FileState:
        return _state(os.stat(path))

    def space(self, path: Path) -> Space:
        found = os.statvfs(path)
        return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def lock(self, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _state(found: os.stat_result) -> FileState:
    return FileState(found.st_dev, found.st_ino, found.st_nlink, found.st_size)


def write_all(files: Files, descriptor: int, data: bytes) -> None:
    """Write every byte or raise; after an error part of the data may be in the file."""
    view = memoryview(data)
    while view:
        taken = files.write(descriptor, view)
        view = view[taken:]


def make_directories(files: Files, path: Path) -> None:
    """Create a directory and its missing parents, each durable before something is put into it."""
    missing = [place for place in (path, *path.parents) if not place.is_dir()]
    for place in reversed(missing):
        files.make_directory(place)
        files.sync_directory(place.parent)


def write_new_file(files: Files, path: Path, data: bytes) -> None:
    """Put a whole file in place: complete and durable under its name, or not there."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(files, descriptor, data)
        files.datasync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(temporary, path)
