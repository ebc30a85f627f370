"""Opens the log directory: one process at a time, one name and one key for the whole life of the log.

`LOG` is written once and signed. A directory that holds records but no readable `LOG` is refused, as is one that was
written under another name or key: going on would join two histories that do not belong together. So is one without
any record where the file beside the key says that this log was begun: a disk that is not mounted looks like that. New
logs are of version 2; one that was begun as version 1 stays what it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.birth import NAME, Adopts, Birth, named_origin, open_birth
from gateway.audit.checkpoints import HISTORY, NEWEST
from gateway.audit.clock import Clock
from gateway.audit.epochs import DIRECTORY as CERTIFICATES
from gateway.audit.errors import AuditError, NoteError
from gateway.audit.files import Files, make_directories, write_all, write_new_file
from gateway.audit.keys import create_signer, dashed, load_signer, load_trust_file
from gateway.audit.note import Signer, VerifierKey

VERSION = 2
"""Of the logs that are begun now."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A locked log directory and the key to it."""

    birth: Birth
    signer: Signer | None
    """None: the log key is kept elsewhere."""
    lock: int


def open_origin(
    directory: Path, origin: str, key_path: Path, files: Files, clock: Clock, adopts: Adopts | None = None
) -> Origin:
    """Lock the directory, or make a new log in it, which `adopts` another one. Raises AuditError."""
    try:
        make_directories(files, directory / "seg")
        lock = lock_log(directory, files)
        try:
            note = (directory / NAME).read_bytes()
            if _is_blank(directory):
                birth, signer = _begin(directory, note, (origin, adopts), key_path, files, clock, lock)
            else:
                birth, signer = _continue(directory, note, origin, key_path, files)
        except (AuditError, OSError):
            files.close(lock)
            raise
    except OSError as exc:
        raise AuditError("audit_dir_unwritable", f"`{directory}` cannot be written: {exc.strerror}") from exc
    return Origin(birth, signer, lock)


def lock_log(directory: Path, files: Files) -> int:
    """The descriptor that holds the lock of a log directory. Raises AuditError or OSError."""
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


def note_begun(key_path: Path, origin: str, files: Files) -> None:
    """Keep in mind, beside the key, that the log of that name has records. Raises OSError."""
    mark = _mark(key_path, origin)
    if not mark.exists():
        write_new_file(files, mark, f"{origin}\n".encode())


def _mark(key_path: Path, origin: str) -> Path:
    return key_path.with_name(f"{dashed(origin)}.begun")


def _begin(
    directory: Path,
    note: bytes,
    who: tuple[str, Adopts | None],
    key_path: Path,
    files: Files,
    clock: Clock,
    lock: int,
) -> tuple[Birth, Signer | None]:
    """Nothing was ever recorded here, so a LOG that a crash cut short can be written again."""
    origin, adopts = who
    if (mark := _mark(key_path, origin)).exists():
        told = f"`{directory}` has no record of `{origin}`, and `{mark}` says that it was begun"
        raise AuditError("audit_rollback", f"{told}: bring the log back, or begin another under a new `origin`")
    signer, key = _log_key(key_path, origin, files)
    if key is None:
        signer = create_signer(key_path, origin, files)
        key = signer.verifier
    with suppress(NoteError):
        return open_birth(note, key), signer
    if signer is None:
        told = "a new log needs its key, or a `LOG` that `gatehouse audit keys` brought from where the key is"
        raise AuditError("audit_key_missing", f"`{key_path}` is not there: {told}")
    birth = Birth(VERSION, key, clock.wall_ns(), adopts)
    _forget_certificates(directory, files)
    files.truncate(lock, 0)
    write_all(files, lock, signer.sign(birth.text()))
    files.datasync(lock)
    files.sync_directory(directory)
    return birth, signer


def _continue(directory: Path, note: bytes, origin: str, key_path: Path, files: Files) -> tuple[Birth, Signer | None]:
    signer, key = _log_key(key_path, origin, files)
    if key is None:
        raise AuditError("audit_key_missing", f"the log exists but its key `{key_path}` does not")
    named = named_origin(note)
    if named != origin:
        raise AuditError("audit_origin_mismatch", f"`{directory}` is the log `{named}`, expected `{origin}`")
    try:
        birth = open_birth(note, key)
    except NoteError as exc:
        raise AuditError("audit_key_mismatch", f"`{directory / NAME}`: {exc}") from exc
    if birth.version == 1 and signer is None:
        raise AuditError("audit_key_missing", f"the log is of version 1 and its key `{key_path}` is not there")
    return birth, signer


def _log_key(key_path: Path, origin: str, files: Files) -> tuple[Signer | None, VerifierKey | None]:
    """The key if it is on this machine, and its public half."""
    if key_path.exists():
        signer = load_signer(key_path, origin, files)
        return signer, signer.verifier
    return None, load_trust_file(key_path, origin)


def _is_blank(directory: Path) -> bool:
    if (directory / NEWEST).exists() or (directory / HISTORY).exists():
        return False
    return not any(path.stat().st_size for path in (directory / "seg").iterdir())


def _forget_certificates(directory: Path, files: Files) -> None:
    """Those of a key that is no longer there; nothing was signed under them."""
    folder = directory / CERTIFICATES
    if folder.is_dir():
        for path in folder.iterdir():
            files.unlink(path)
        files.sync_directory(folder)
