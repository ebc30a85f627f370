"""Heads as files in a directory of another disk or host.

Each is written beside its name, synced, and put in place by rename; one that is there is never written again. The
directory itself is not made: where a mount is missing, its mount point is a directory of this machine's own disk.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateway.audit.anchors.anchor import HeadNote
from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.settings import FileDrop
from gateway.audit.files import Files, OsFiles, make_directories, write_new_file
from gateway.audit.keys import dashed
from gateway.audit.note import Checkpoint
from gateway.audit.record import Json

_NAME = re.compile(r"([0-9]{16})\.checkpoint")


class FileAnchor:
    """Puts heads into a directory."""

    def __init__(self, settings: FileDrop, files: Files | None = None) -> None:
        self._directory, self._files = settings.directory, files or OsFiles()
        self._largest: int | None = None
        """Size of the largest head that is there; read once, as there may be very many."""

    def put(self, head: HeadNote) -> dict[str, Json]:
        name = f"{dashed(head.head.origin)}/{head.head.size:016d}.checkpoint"
        try:
            self._put(self._directory / name, head)
        except OSError as exc:
            raise AnchorError("anchor_unwritable", f"`{self._directory / name}`: {exc.strerror}") from exc
        return {"note": head.note.decode(), "path": name}

    def close(self) -> None:
        return

    def _put(self, path: Path, head: HeadNote) -> None:
        if not self._directory.is_dir():
            raise AnchorError("anchor_unwritable", f"`{self._directory}` is not there: is the mount missing?")
        make_directories(self._files, path.parent)
        if self._largest is None:
            self._largest = _largest(path.parent)
        if self._largest > head.head.size:
            told = f"holds a head of {self._largest} records, this log has {head.head.size}: it was set back"
            raise AnchorError("anchor_ahead", f"`{path.parent}` {told}")
        if path.exists():
            _require_same(path, head.head)
            return
        write_new_file(self._files, path, head.note)
        self._files.sync_directory(path.parent)
        self._largest = head.head.size


def _largest(directory: Path) -> int:
    names = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return max((int(match[1]) for match in names if match), default=0)


def _require_same(path: Path, head: Checkpoint) -> None:
    """The head that is there was signed at another time perhaps, but over the same records."""
    if path.read_bytes().split(b"\n")[:3] != head.text().encode().split(b"\n")[:3]:
        told = f"`{path}` holds another head of {head.size} records: this log is not the one that was anchored there"
        raise AnchorError("anchor_fork", told)
