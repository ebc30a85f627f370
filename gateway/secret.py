"""Secrets that a site makes for itself: random bytes in a file of their own that nobody but its owner can read.

One is durable under its name before anything depends on it: what was digested or sealed with a secret that a power cut
takes away can never be checked or opened again. One that is there stays as it is, whatever it holds.
The key of the audit log's keyed digests is such a secret: whoever holds it can test whether a given text was in a
record; without it a digest says nothing, not even for short texts such as a phone number.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, Literal

from gateway.audit.errors import AuditError
from gateway.audit.files import Files, OsFiles, make_directories, write_all

KEY_BYTES: Final = 32
_CODES: Final = {"missing": "audit_key_missing", "wrong": "audit_key_missing", "unsafe": "audit_key_unsafe"}


class SecretError(Exception):
    """The file is not there or cannot be made, holds no secret, or can be read by others."""

    def __init__(self, kind: Literal["missing", "wrong", "unsafe"], problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


def digest_key(directory: Path) -> bytes:
    """The key of the digests, created on first use. Raises AuditError when the file cannot be made or is not a key."""
    path = directory / "digest.key"
    try:
        make_secret(path)
        return read_secret(path)
    except SecretError as exc:
        raise AuditError(_CODES[exc.kind], str(exc)) from exc


def make_secret(path: Path, files: Files | None = None) -> None:
    """Return when a secret is durable there, a new one if there was none. Raises SecretError."""
    files = files or OsFiles()
    try:
        make_directories(files, path.parent)
        descriptor = files.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(files, descriptor, os.urandom(KEY_BYTES))
            files.datasync(descriptor)
        finally:
            files.close(descriptor)
        files.sync_directory(path.parent)
    except FileExistsError:
        return
    except OSError as exc:
        raise SecretError("missing", f"`{path}` cannot be created: {exc.strerror}") from exc


def read_secret(path: Path) -> bytes:
    """What is there. Raises SecretError."""
    try:
        mode, secret = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as exc:
        raise SecretError("missing", f"`{path}` cannot be read: {exc.strerror}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError("unsafe", f"`{path}` has mode {mode:04o}, expected 0600")
    if len(secret) != KEY_BYTES:
        raise SecretError("wrong", f"`{path}` holds {len(secret)} bytes, expected {KEY_BYTES}")
    return secret
