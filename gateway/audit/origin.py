"""Opens the log directory: one process at a time, one name and one key for the whole life of the log.

`LOG` is written once and signed. A directory that holds records but no readable `LOG` is refused, as is one that was
written under another name or key: going on would join two histories that do not belong together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.checkpoints import HISTORY, NEWEST
from gateway.audit.clock import Clock
from gateway.audit.errors import AuditError, NoteError
from gateway.audit.files import Files, make_directories, write_all
from gateway.audit.keys import create_signer, load_signer
from gateway.audit.note import Signer, VerifierKey, open_note

FORMAT = "gatehouse-audit-log/v1"
NAME = "LOG"


@dataclass(frozen=True, slots=True)
class Origin:
    """A locked log directory and the key to it."""

    signer: Signer
    lock: int


def open_origin(directory: Path, origin: str, key_path: Path, files: Files, clock: Clock) -> Origin:
    """Lock the directory, or make a new log in it. Raises AuditError."""
    try:
        lock = _lock(directory, files)
        try:
            signer = _signer(directory, origin, key_path, files, clock, lock)
        except (AuditError, OSError):
            files.close(lock)
            raise
    except OSError as exc:
        raise AuditError("audit_dir_unwritable", f"`{directory}` cannot be written: {exc.strerror}") from exc
    return Origin(signer, lock)


def log_note(origin: str, key: VerifierKey, created_ns: int) -> str:
    """The text of `LOG`."""
    return f"{FORMAT}\n{origin}\ncreated {created_ns}\nhash sha256\nkey {key.vkey}\n"


def check_log_note(note: bytes, key: VerifierKey) -> None:
    """Raise NoteError unless the note is a log's birth certificate under this name and key."""
    lines = open_note(note, key).split("\n")
    if len(lines) != 6 or lines[0] != FORMAT or lines[3] != "hash sha256":
        raise NoteError(f"note is not of the format `{FORMAT}`")
    if lines[1] != key.name or lines[4] != f"key {key.vkey}":
        raise NoteError("note names another log or key")


def _lock(directory: Path, files: Files) -> int:
    make_directories(files, directory / "seg")
    lock = files.open(directory / NAME, os.O_RDWR | os.O_CREAT)
    try:
        files.lock(lock)
    except BlockingIOError:
        files.close(lock)
        raise AuditError("audit_locked", f"`{directory}` is in use by another process") from None
    except OSError:
        files.close(lock)
        raise
    return lock


def _signer(directory: Path, origin: str, key_path: Path, files: Files, clock: Clock, lock: int) -> Signer:
    note = (directory / NAME).read_bytes()
    if _is_blank(directory):
        # Nothing was ever recorded here, so a LOG that a crash cut short can be written again.
        signer = load_signer(key_path, origin, files) if key_path.exists() else create_signer(key_path, origin, files)
        if not _holds(note, signer.verifier):
            _write_log(directory, log_note(origin, signer.verifier, clock.wall_ns()), signer, files, lock)
        return signer
    signer = load_signer(key_path, origin, files)
    named = _named_origin(note)
    if named != origin:
        raise AuditError("audit_origin_mismatch", f"`{directory}` is the log `{named}`, expected `{origin}`")
    try:
        check_log_note(note, signer.verifier)
    except NoteError as exc:
        raise AuditError("audit_key_mismatch", f"`{directory / NAME}`: {exc}") from exc
    return signer


def _is_blank(directory: Path) -> bool:
    if (directory / NEWEST).exists() or (directory / HISTORY).exists():
        return False
    return not any(path.stat().st_size for path in (directory / "seg").iterdir())


def _named_origin(note: bytes) -> str:
    lines = note.decode(errors="replace").split("\n")
    return lines[1] if len(lines) > 1 and lines[0] == FORMAT else "(unreadable)"


def _holds(note: bytes, key: VerifierKey) -> bool:
    try:
        check_log_note(note, key)
    except NoteError:
        return False
    return True


def _write_log(directory: Path, text: str, signer: Signer, files: Files, lock: int) -> None:
    files.truncate(lock, 0)
    write_all(files, lock, signer.sign(text))
    files.datasync(lock)
    files.sync_directory(directory)
