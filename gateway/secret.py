"""The key of the keyed digests in the audit log. Made once, readable by the owner only, kept apart from the log.

Whoever holds it can test whether a given text was in a record; without it a digest says nothing, not even for short
texts such as a phone number.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.audit.errors import AuditError

KEY_BYTES = 32


def digest_key(directory: Path) -> bytes:
    """The key, created on first use. Raises AuditError when the file cannot be made or is not a key."""
    path = directory / "digest.key"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    except OSError as exc:
        raise AuditError("audit_key_missing", f"`{path}` cannot be created: {exc.strerror}") from exc
    try:
        mode, key = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as exc:
        raise AuditError("audit_key_missing", f"`{path}` cannot be read: {exc.strerror}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuditError("audit_key_unsafe", f"`{path}` has mode {mode:04o}, expected 0600")
    if len(key) != KEY_BYTES:
        raise AuditError("audit_key_missing", f"`{path}` holds {len(key)} bytes, expected {KEY_BYTES}")
    return key
