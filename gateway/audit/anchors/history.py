"""`anchors.log`: every success of every anchor, one line each.

It tells an auditor what to ask for and where; it is not the evidence, which lies elsewhere. A line that a crash cut
short is removed before the next is written.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.errors import RecordError
from gateway.audit.files import Files, OsFiles, write_all
from gateway.audit.record import Json, canonical, parse_line

NAME = "anchors.log"
TAIL = 8 << 20
"""How much of the file is read: some ten thousand successes, while the whole may be gigabytes."""
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Anchored:
    """One success."""

    name: str
    kind: str
    size: int
    root: str
    ts_ns: int

    def line(self, proof: dict[str, Json]) -> bytes:
        """As it is stored."""
        fields: dict[str, Json] = {"name": self.name, "kind": self.kind, "size": self.size, "root": self.root}
        return canonical({**fields, "ts": str(self.ts_ns), "proof": proof}) + b"\n"


@dataclass(frozen=True, slots=True)
class Recent:
    """What the end of the file tells."""

    last: dict[str, Anchored]
    """The newest success of each anchor, by name."""
    since_ns: int | None
    """An anchor that is not in there had its last success before this; None if it never had one."""


class AnchorHistory:
    """The file. Appended to by the threads of several anchors."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self._path, self._files = directory / NAME, files or OsFiles()
        self._lock = threading.Lock()

    def append(self, line: bytes) -> None:
        """Durable when it returns. OSError if that cannot be."""
        with self._lock:
            is_new = not self._path.exists()
            descriptor = self._files.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                end = self._whole()
                if self._files.state(descriptor).size > end:
                    self._files.truncate(descriptor, end)
                write_all(self._files, descriptor, line)
                self._files.datasync(descriptor)
            finally:
                self._files.close(descriptor)
            if is_new:
                self._files.sync_directory(self._path.parent)

    def recent(self) -> Recent:
        """The newest successes. What cannot be read is passed over: the anchors know better."""
        try:
            with self._path.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - TAIL)
                file.seek(start)
                lines = file.read().split(b"\n")[1 if start else 0 :]
        except OSError:
            return Recent({}, None)
        entries = [entry for line in lines if (entry := parse_anchored(line)) is not None]
        return Recent({entry.name: entry for entry in entries}, entries[0].ts_ns if start and entries else None)

    def _whole(self) -> int:
        """Length up to and with the last newline."""
        with self._path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - _BLOCK)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    return start + at + 1
                end = start
        return 0


def parse_anchored(line: bytes) -> Anchored | None:
    """Read a line without its proof; None if it is none."""
    try:
        record = parse_line(line)
        name, kind, size, root, ts = (record.get(key) for key in ("name", "kind", "size", "root", "ts"))
    except RecordError:
        return None
    if not (isinstance(name, str) and isinstance(kind, str) and isinstance(root, str) and isinstance(ts, str)):
        return None
    if not isinstance(size, int) or not ts.isascii() or not ts.isdigit() or len(ts) > 20:
        return None
    return Anchored(name, kind, size, root, int(ts))
