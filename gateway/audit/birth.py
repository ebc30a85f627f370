"""`LOG`, the certificate of a log's birth: its name, its key, its format, and the log it goes on from, if any.

Reading only, by the key that the caller trusts. A log begun as version 1 stays one: its heads are signed by the log key
itself. In version 2 the log key signs this note and the certificates of epoch keys, and may be kept off the machine.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from gateway.audit.errors import NoteError
from gateway.audit.note import VerifierKey, is_origin, open_note, strict_b64

NAME = "LOG"
FORMATS = {"gatehouse-audit-log/v1": 1, "gatehouse-audit-log/v2": 2}
_CREATED = re.compile(r"created (0|[1-9][0-9]{0,19})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Adopts:
    """The log that this one continues under a new name, after two people approved it: up to where, and what it was."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin} {self.size} {b64encode(self.root).decode()}"


@dataclass(frozen=True, slots=True)
class Birth:
    """What the note says."""

    version: int
    key: VerifierKey
    created_ns: int
    adopts: Adopts | None = None

    def text(self) -> str:
        """The note's text."""
        form = next(name for name, version in FORMATS.items() if version == self.version)
        more = f"adopts {self.adopts}\n" if self.adopts is not None else ""
        return f"{form}\n{self.key.name}\ncreated {self.created_ns}\nhash sha256\nkey {self.key.vkey}\n{more}"


def open_birth(note: bytes, key: VerifierKey) -> Birth:
    """The note's content; NoteError unless it is signed by this key and names this key and its log."""
    lines = open_note(note, key).split("\n")[:-1]
    version = FORMATS.get(lines[0], 0)
    if version == 0 or len(lines) not in (5, 5 if version == 1 else 6) or lines[3] != "hash sha256":
        raise NoteError(f"note is not of a format {' or '.join(f'`{name}`' for name in FORMATS)}")
    if lines[1] != key.name or lines[4] != f"key {key.vkey}":
        raise NoteError("note names another log or key")
    created = _CREATED.fullmatch(lines[2])
    if created is None:
        raise NoteError("note has no time of creation")
    return Birth(version, key, int(created[1]), _adopts(lines[5]) if len(lines) == 6 else None)


def named_origin(note: bytes) -> str:
    """The name in the note, not verified: for messages only."""
    lines = note.decode(errors="replace").split("\n")
    return lines[1] if len(lines) > 1 and lines[0] in FORMATS else "(unreadable)"


def _adopts(line: str) -> Adopts:
    word, origin, size, root = (*line.split(" "), "", "", "", "")[:4]
    if word != "adopts" or line.count(" ") != 3 or not is_origin(origin) or _SIZE.fullmatch(size) is None:
        raise NoteError("the last line of the note is not `adopts`, a log, its size and its root")
    return Adopts(origin, int(size), strict_b64(root, 32))
