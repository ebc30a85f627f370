"""How a gateway shows a NATS server who it is: credentials as `nsc` writes them, or a name and a password.

The seed in credentials signs what the server asks and never travels. Nothing here is printed, and no message quotes a
file. A bare seed is not taken: the client has no public way to say whose it is without a library for it alone.
"""

from __future__ import annotations

import re
from base64 import b32decode, b64encode
from binascii import crc_hqx
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_JWT = re.compile(r"-----BEGIN NATS USER JWT-----\s+([A-Za-z0-9_.\-]+)\s+-+END NATS USER JWT-+")
_SEED = re.compile(r"(?<![A-Z2-7])SU[A-Z2-7]{56}(?![A-Z2-7])")
_SEED_BYTES, _PREFIX_BYTES, _SUM_BYTES = 32, 2, 2


@dataclass(frozen=True, slots=True)
class StreamLogin:
    """One of the two, or nothing: then only TLS says who it is."""

    seed: bytes = field(default=b"", repr=False)
    jwt: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    def sign(self, nonce: str) -> bytes:
        """Base64 of the signature that a server asks for."""
        return b64encode(Ed25519PrivateKey.from_private_bytes(self.seed).sign(nonce.encode()))


def parse_login(text: str) -> StreamLogin:
    """Read a credentials file. Raises ValueError for anything else."""
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is not None and seed is not None:
        return StreamLogin(_decoded(seed[0]), jwt[1])
    words = text.split()
    if len(words) != 2 or not all(re.fullmatch(r"[\x21-\x7e]{1,1024}", word) for word in words):
        raise ValueError("neither credentials of a user nor a name and a password")
    return StreamLogin(user=words[0], password=words[1])


def _decoded(seed: str) -> bytes:
    """Base32 of two bytes of prefix, the seed and a checksum."""
    raw = b32decode(seed + "=" * (-len(seed) % 8))
    body, checksum = raw[:-_SUM_BYTES], raw[-_SUM_BYTES:]
    if len(body) != _PREFIX_BYTES + _SEED_BYTES or crc_hqx(body, 0).to_bytes(2, "little") != checksum:
        raise ValueError("a user's seed with a wrong checksum")
    return body[_PREFIX_BYTES:]
