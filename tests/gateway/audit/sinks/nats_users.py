"""An operator, an account and users of NATS, as its tools write them. Not a test itself."""

from __future__ import annotations

import json
from base64 import b32encode, urlsafe_b64encode
from binascii import crc_hqx
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
_UNLIMITED = (
    "subs",
    "data",
    "payload",
    "imports",
    "exports",
    "conn",
    "leaf",
    "mem_storage",
    "disk_storage",
    "streams",
    "consumer",
)


def encoded(prefix: bytes, body: bytes) -> str:
    raw = prefix + body
    return b32encode(raw + crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def seed_of(kind: int, seed: bytes) -> str:
    return encoded(bytes([SEED | kind >> 5, (kind & 31) << 3]), seed)


class Key:
    """One of either kind."""

    def __init__(self, kind: int, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = encoded(bytes([kind]), self._private.public_key().public_bytes_raw())

    def certify(self, subject: Key, claims: dict[str, object]) -> str:
        """A token that says so."""
        body = {"iat": 1_700_000_000, "iss": self.public, "name": "test", "sub": subject.public, "nats": claims}
        body["jti"] = b32encode(sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        parts = [_part({"typ": "JWT", "alg": "ed25519-nkey"}), _part(body)]
        return ".".join([*parts, _b64(self._private.sign(".".join(parts).encode()))])


class Operator:
    """A site of one account."""

    def __init__(self, seed: bytes = b"o" * 32) -> None:
        self._operator, self._account = Key(OPERATOR, seed), Key(ACCOUNT, seed[::-1])
        self._token = self._operator.certify(self._operator, {"type": "operator", "version": 2})
        limits = self._limits = {name: -1 for name in _UNLIMITED} | {"wildcards": True}
        self._of_account = self._operator.certify(self._account, {"type": "account", "version": 2, "limits": limits})

    def server_config(self) -> str:
        plain = {name: limit for name, limit in self._limits.items() if not name.endswith("storage")}
        system = Key(ACCOUNT, b"y" * 32)
        of_system = self._operator.certify(system, {"type": "account", "version": 2, "limits": plain})
        preload = f"{{{self._account.public}: {self._of_account}, {system.public}: {of_system}}}"
        token = f"operator: {self._token}\nsystem_account: {system.public}\n"
        return f"{token}resolver: MEMORY\nresolver_preload: {preload}\n"

    def credentials(self, seed: bytes) -> str:
        token = self._account.certify(
            Key(USER, seed), {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        )
        return (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed_of(USER, seed)}\n------END USER NKEY SEED------\n"
        )


def _part(value: object) -> str:
    return _b64(json.dumps(value).encode())


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
