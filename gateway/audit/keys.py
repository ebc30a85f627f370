"""The log's private key and the trust file an auditor gets.

Both are made at the first start, outside the log directory: whoever receives a copy of the log must not receive the
key, and the verifier must take its trust from somewhere else than from what it verifies. A log whose key is gone is
not continued under a new one; a key that other users can read is not used. Where the trust file alone is there, the
log key is kept off the machine, and only what it signed elsewhere can be used (epoch_keys.py).
"""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.errors import AuditError, TrustError
from gateway.audit.files import Files, make_directories, write_new_file
from gateway.audit.note import Signer, VerifierKey, parse_vkey


def trust_path(key_path: Path, origin: str) -> Path:
    """Where the public half lies, for auditors to copy."""
    return key_path.parent / f"{dashed(origin)}.vkey"


def dashed(origin: str) -> str:
    """A log's name as part of a file name."""
    return origin.replace("/", "-")


def load_signer(key_path: Path, origin: str, files: Files) -> Signer:
    """The signer of an existing key. Puts the trust file in place if it is missing."""
    signer = Signer(origin, load_private(key_path))
    _put_trust_file(signer, key_path, origin, files)
    return signer


def create_signer(key_path: Path, origin: str, files: Files) -> Signer:
    """A new key for a new log, durable before anything is signed with it."""
    signer = Signer(origin, create_private(key_path, files))
    _put_trust_file(signer, key_path, origin, files)
    return signer


def load_trust_file(key_path: Path, origin: str) -> VerifierKey | None:
    """The public half of a log key that is kept elsewhere; None if there is no such file."""
    path = trust_path(key_path, origin)
    try:
        key = parse_vkey(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, TrustError, UnicodeDecodeError) as exc:
        raise AuditError("audit_key_missing", f"trust file `{path}` cannot be read: {exc}") from exc
    if key.name != origin:
        raise AuditError("audit_key_mismatch", f"`{path}` is for the log `{key.name}`, expected `{origin}`")
    return key


def load_private(path: Path) -> Ed25519PrivateKey:
    """A private key that nobody else can read. Raises AuditError."""
    try:
        info = path.stat()
        pem = path.read_bytes()
    except FileNotFoundError:
        raise AuditError("audit_key_missing", f"the log exists but its key `{path}` does not") from None
    except OSError as exc:
        raise AuditError("audit_key_missing", f"key `{path}` cannot be read: {exc.strerror}") from exc
    if info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(info.st_mode)
        raise AuditError("audit_key_unsafe", f"key `{path}` has mode {mode:04o}, expected 0600")
    return _parse_key(pem, path)


def create_private(path: Path, files: Files) -> Ed25519PrivateKey:
    """A new private key, durable under its name. Raises AuditError."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        make_directories(files, path.parent)
        write_new_file(files, path, pem)
        files.sync_directory(path.parent)
    except OSError as exc:
        raise AuditError("audit_dir_unwritable", f"key `{path}` cannot be created: {exc.strerror}") from exc
    return private


def _parse_key(pem: bytes, key_path: Path) -> Ed25519PrivateKey:
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        # The parser's message may quote the file.
        raise AuditError("audit_key_unsafe", f"key `{key_path}` is not an unencrypted PEM private key") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise AuditError("audit_key_unsafe", f"key `{key_path}` is not an Ed25519 key")
    return private


def _put_trust_file(signer: Signer, key_path: Path, origin: str, files: Files) -> None:
    path = trust_path(key_path, origin)
    wanted = signer.verifier.vkey + "\n"
    try:
        if not path.exists():
            write_new_file(files, path, wanted.encode())
            files.sync_directory(path.parent)
        elif path.read_text() != wanted:
            raise AuditError("audit_key_mismatch", f"`{path}` is for another key than `{key_path}`")
    except OSError as exc:
        raise AuditError("audit_dir_unwritable", f"trust file `{path}` cannot be written: {exc.strerror}") from exc
