"""Blobs on disk: files that only grow, one set for each retention class, synced before anything names what is in them.

A blob is a line of canonical JSON, `\\n`, so many bytes, `\\n`; docs/audit-format.md is the contract. After a write or
sync that failed nobody knows what the disk holds, so that file is never touched again and the next blob begins another.
A start begins another file, too: an unfinished end is never written over, and readers pass by it.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gateway.audit.errors import RecordError
from gateway.audit.files import Files, make_directories, write_all
from gateway.audit.record import canonical, parse_line
from gateway.content.errors import ContentMissing, ContentUnavailable
from gateway.content.keys import Place, digest

SUFFIX: Final = ".blobs"
SEGMENT_BYTES: Final = 64 * 1024 * 1024
_LONGEST_HEADER: Final = 4096
_DAY_S: Final = 86_400.0
"""So that what is erased leaves the disk although little is said."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a blob's header begins."""

    segment: str
    """`<class>/<n>.blobs`."""
    offset: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob as its file says."""

    header: dict[str, object]
    data: bytes


def encoded(place: Place, kek_id: str, blob: bytes) -> bytes:
    """A blob as it stands in a file."""
    header = {**place.as_json(), "v": 1, "kek_id": kek_id, "bytes": len(blob)}
    return canonical(header | {"ct_sha256": b64encode(digest(blob)).decode()}) + b"\n" + blob + b"\n"


class SegmentWriter:
    """The growing files. Owned by one thread."""

    def __init__(self, files: Files, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._files, self._directory, self._limit = files, directory, segment_bytes
        self._open: dict[str, tuple[int, str, int]] = {}
        """Class -> descriptor, name, length."""
        self._begun: dict[str, float] = {}

    def end(self, class_: str) -> Spot:
        """Where the next blob of this class will stand. Raises ContentUnavailable."""
        try:
            _, name, at = self._current(class_)
        except OSError as exc:
            raise ContentUnavailable(f"no content file can be made: {exc.strerror}") from exc
        return Spot(name, at)

    def write(self, class_: str, data: bytes) -> None:
        """Append and sync. Raises ContentUnavailable; then the file is given up."""
        descriptor, name, length = self._open[class_]
        try:
            write_all(self._files, descriptor, data)
            self._files.datasync(descriptor)
        except OSError as exc:
            self.give_up(class_)
            raise ContentUnavailable(f"content file `{name}` cannot be written: {exc.strerror}") from exc
        self._open[class_] = (descriptor, name, length + len(data))

    def give_up(self, class_: str) -> None:
        """The next blob of this class begins another file."""
        if (known := self._open.pop(class_, None)) is not None:
            with suppress(OSError):  # what it would tell we know: this file is not used again
                self._files.close(known[0])

    def is_open(self, segment: str) -> bool:
        """Whether the file still grows."""
        return any(name == segment for _, name, _ in self._open.values())

    def close(self) -> None:
        for class_ in list(self._open):
            self.give_up(class_)

    def _current(self, class_: str) -> tuple[int, str, int]:
        known = self._open.get(class_)
        if known is not None and known[2] < self._limit and time.monotonic() - self._begun[class_] < _DAY_S:
            return known
        self.give_up(class_)
        directory = self._directory / class_
        make_directories(self._files, directory)
        numbers = [int(path.stem) for path in directory.glob(f"*{SUFFIX}") if path.stem.isdigit()]
        name = f"{max(numbers, default=-1) + 1:016}{SUFFIX}"
        descriptor = self._files.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        try:
            self._files.sync_directory(directory)
        except OSError:
            self._files.close(descriptor)
            raise
        self._open[class_], self._begun[class_] = (descriptor, f"{class_}/{name}", 0), time.monotonic()
        return self._open[class_]


def read_blob(directory: Path, spot: Spot, ref: str) -> Stored:
    """The blob at a place. Raises ContentMissing when it is not there, or not what its header says."""
    try:
        with (directory / spot.segment).open("rb") as file:
            file.seek(spot.offset)
            found = _read(file)
    except OSError:
        raise ContentMissing("content_lost", f"the file of blob `{ref}` cannot be read") from None
    if found is None or found.header.get("ref") != ref:
        raise ContentMissing("content_lost", f"blob `{ref}` is not where it was put")
    if found.header.get("ct_sha256") != b64encode(digest(found.data)).decode():
        raise ContentMissing("content_altered", f"blob `{ref}` is not what was sealed")
    return found


def blobs(path: Path) -> Iterator[Stored]:
    """Every whole blob of a file, up to its end or what cannot be read."""
    with path.open("rb") as file:
        while (found := _read(file)) is not None:
            yield found


def _read(file: BinaryIO) -> Stored | None:
    line = file.readline(_LONGEST_HEADER)
    if not line.endswith(b"\n"):
        return None
    try:
        header = parse_line(line[:-1])
    except RecordError:
        return None
    length = header.get("bytes")
    if not isinstance(length, int) or length < 0 or length > os.fstat(file.fileno()).st_size:
        return None
    data = file.read(length + 1)
    if len(data) != length + 1 or data[-1:] != b"\n":
        return None
    return Stored(dict(header), data[:-1])
