"""How far a sink has come, and a small file that remembers it.

The file is a lower bound: it is written now and then, not with each batch, and says what a sink had acknowledged. A
sink that holds less than that has lost something, which is told and not mended. It proves nothing to an auditor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.errors import AuditError
from gateway.audit.files import Files, make_directories, write_new_file
from gateway.audit.recover import NO_LEAF


@dataclass(frozen=True, slots=True)
class Position:
    """Everything before record `seq` is there."""

    segment: int
    """First record of the segment that holds the record before `seq`."""
    offset: int
    """Bytes of that segment."""
    seq: int
    leaf: bytes
    """Of the record before `seq`."""


START = Position(0, 0, 0, NO_LEAF)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive lines of one segment, as they are stored."""

    at: Position
    lines: Sequence[bytes]
    """Each with its newline."""
    leaves: Sequence[bytes]

    @property
    def data(self) -> bytes:
        return b"".join(self.lines)

    @property
    def end(self) -> Position:
        size = sum(len(line) for line in self.lines)
        return Position(self.at.segment, self.at.offset + size, self.at.seq + len(self.lines), self.leaves[-1])


class PositionFile:
    """Where one sink's position in one log is kept between starts."""

    def __init__(self, path: Path, origin: str, files: Files) -> None:
        self._path, self._origin, self._files = path, origin, files

    def load(self) -> Position | None:
        """None when the sink was never used for this log. Raises AuditError for a file that is not ours."""
        try:
            found = json.loads(self._path.read_bytes())
            at = Position(found["segment"], found["offset"], found["seq"], bytes.fromhex(found["leaf"]))
            return at if found["origin"] == self._origin else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            problem = f"`{self._path}` does not say how far a sink had come: {type(exc).__name__}"
            raise AuditError("audit_settings", problem) from exc

    def save(self, at: Position) -> None:
        """Raises OSError."""
        make_directories(self._files, self._path.parent)
        data = {
            "origin": self._origin,
            "segment": at.segment,
            "offset": at.offset,
            "seq": at.seq,
            "leaf": at.leaf.hex(),
        }
        write_new_file(self._files, self._path, json.dumps(data).encode() + b"\n")
