"""A copy of every policy that was ever in force, by the digest that records cite.

A record says which policy decided; without its text nobody can see what that was. The copy is put down before the
record that says the policy was loaded. It is not secret, and it is not trusted: whoever reads one compares the digest.
"""

from __future__ import annotations

import errno
import hashlib
import re
from pathlib import Path

from gateway.audit.files import OsFiles, write_new_file

DIRECTORY = "policies"
"""Below the state directory, beside the log."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def keep_copy(directory: Path, source: bytes, digest: str) -> None:
    """Put the policy's bytes down under its digest. OSError if that cannot be, or if they are others by now."""
    if digest_of(source) != digest:
        raise OSError(errno.EAGAIN, "the policy was changed while it was being loaded")
    path = _path(directory, digest)
    if path is None or path.is_file():
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = OsFiles()
    write_new_file(files, path, source)
    files.sync_directory(directory)


def copy_of(directory: Path, digest: str) -> Path | None:
    """The file that holds the policy of this digest, if there is one and it does."""
    path = _path(directory, digest)
    if path is None or not path.is_file() or digest_of(path.read_bytes()) != digest:
        return None
    return path


def digest_of(source: bytes) -> str:
    """As a policy's `source_digest` is written."""
    return "sha256:" + hashlib.sha256(source).hexdigest()


def _path(directory: Path, digest: str) -> Path | None:
    match = _DIGEST.fullmatch(digest)
    return directory / f"{match[1]}.yaml" if match is not None else None
