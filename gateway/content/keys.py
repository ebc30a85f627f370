"""Keys over sealed text, and the two operations with them: wrap a key, seal a blob. Pure but for the master key's file.

    master key, a file of its own -> key of each KEK's wrap (HKDF over what the KEK is for)
    KEK, one for each person or exchange and retention class -> wraps a DEK for each blob -> AES-256-GCM

Each blob has a random key of its own, so that one exchange of a person can be erased and the others stay, and so that
no key ever sees two nonces. A wrap is AES key wrap (RFC 3394): no nonce, and it notices another key or other bytes. The
master key opens nothing by itself: with the wraps destroyed, whoever holds it has no text.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.audit.files import Files
from gateway.audit.record import canonical
from gateway.content.errors import ContentError, ContentMissing
from gateway.secret import KEY_BYTES, SecretError, make_secret, read_secret

NONCE_BYTES: Final = 12
_NAMES_WRAP: Final = b"gatehouse-content-names-wrap/v1"
_CHECK: Final = b"gatehouse-content-check/v1"
_CODES: Final = {"missing": "content_key_missing", "wrong": "content_key_wrong", "unsafe": "content_key_unsafe"}


@dataclass(frozen=True, slots=True)
class Place:
    """What a blob belongs to. It is authenticated with the text: no blob can stand for another."""

    ref: str
    req: str
    tenant: str
    class_: str
    level: str
    """`request` or `response`."""
    origin: str

    def as_json(self) -> dict[str, str]:
        return {
            "class": self.class_,
            "level": self.level,
            "origin": self.origin,
            "ref": self.ref,
            "req": self.req,
            "tenant": self.tenant,
        }


class MasterKey:
    """The key above all wraps. It never leaves this object."""

    def __init__(self, secret: bytes, names: bytes | None = None) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes")
        self._secret = secret
        self._names = names or _derived(secret, b"gatehouse-content-names/v1")

    @property
    def check(self) -> bytes:
        """Tells this key from another one and says nothing else; kept beside the wraps."""
        return hmac.digest(_derived(self._secret, _CHECK), _CHECK, "sha256")

    def wrap(self, kek: bytes, bound_to: str) -> bytes:
        """A KEK as it may lie on disk; it opens only for what it was bound to."""
        return aes_key_wrap(_derived(self._secret, b"gatehouse-content-kek/v1\0" + bound_to.encode()), kek)

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """Raises ContentMissing when the wrap is not ours or not for this."""
        return _unwrapped(_derived(self._secret, b"gatehouse-content-kek/v1\0" + bound_to.encode()), wrapped)

    def wrap_names(self, before: MasterKey) -> bytes:
        """What persons are found by under another master key, as it may lie on disk under this one."""
        return aes_key_wrap(_derived(self._secret, _NAMES_WRAP), before._names)

    def with_names(self, wrapped: bytes) -> MasterKey:
        """This key, with what persons were found by before. Raises ContentMissing when the wrap is not ours."""
        return MasterKey(self._secret, _unwrapped(_derived(self._secret, _NAMES_WRAP), wrapped))

    def name_digest(self, tenant: str, name: str) -> bytes:
        """By which a person is found again. The name itself is kept nowhere."""
        return hmac.digest(self._names, f"{tenant}\0{name}".encode("utf-8", "surrogatepass"), "sha256")


def load_master_key(path: Path, *, may_create: bool, files: Files | None = None) -> MasterKey:
    """The key in the file, made at the first start. Raises ContentError when it cannot be used."""
    try:
        if may_create:
            make_secret(path, files)
        return MasterKey(read_secret(path))
    except SecretError as exc:
        raise ContentError(_CODES[exc.kind], f"master key {exc}") from exc


def wrap_dek(kek: bytes, dek: bytes) -> bytes:
    return aes_key_wrap(kek, dek)


def unwrap_dek(kek: bytes, wrapped: bytes) -> bytes:
    return _unwrapped(kek, wrapped)


def seal(dek: bytes, text: bytes, place: Place) -> bytes:
    """Nonce, ciphertext and tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(dek).encrypt(nonce, text, canonical(place.as_json()))


def unseal(dek: bytes, blob: bytes, place: Place) -> bytes:
    """The text. Raises ContentMissing when key, bytes or place are not those of the sealing."""
    try:
        return AESGCM(dek).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], canonical(place.as_json()))
    except (InvalidTag, ValueError):
        raise ContentMissing(
            "content_altered", f"blob `{place.ref}` does not open: it is not what was sealed"
        ) from None


def digest(blob: bytes) -> bytes:
    """What a record says of a blob."""
    return hashlib.sha256(blob).digest()


def _unwrapped(key: bytes, wrapped: bytes) -> bytes:
    try:
        return aes_key_unwrap(key, wrapped)
    except (InvalidUnwrap, ValueError):
        raise ContentMissing(
            "content_altered", "a key of the key store does not open: it is not what was put there"
        ) from None


def _derived(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)
