"""Reading cosignatures of witnesses (C2SP tlog-cosignature, cosignature/v1).

A witness signs the text of a head with the time at which it saw it, having checked that this head continues the last
one it saw. Its key is of another kind than a log's, so that neither signature can stand for the other.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit.errors import TrustError

_KIND = b"\x04"
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_LENGTH = 4 + 8 + 64


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """Public key of a witness, from a file that the auditor got from whoever runs it."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _KIND + self.key).digest()[:4]

    def is_named_in(self, line: str) -> bool:
        """Whether the signature line says it is by this key's name. Nothing is verified."""
        return line.startswith(f"— {self.name} ")

    def seen_at(self, line: str, text: str) -> int | None:
        """The time, in seconds, of this witness's signature over the head's text; None if the line is not that."""
        mark, name, blob = (*line.split(" "), "", "")[:3]
        if mark != "—" or name != self.name or line.count(" ") != 2:
            return None
        try:
            raw = b64decode(blob, validate=True)
        except ValueError:
            return None
        if len(raw) != _LENGTH or raw[:4] != self.key_id or b64encode(raw).decode() != blob:
            return None
        seconds = int.from_bytes(raw[4:12], "big")
        try:
            signed = f"cosignature/v1\ntime {seconds}\n{text}".encode()
            Ed25519PublicKey.from_public_bytes(self.key).verify(raw[12:], signed)
        except InvalidSignature:
            return None
        return seconds


def parse_witness_key(text: str) -> WitnessKey:
    """Read `name+id+key`. TrustError if it is not the key of a witness."""
    match = _VKEY.fullmatch(text.strip())
    try:
        raw = b64decode(match[3], validate=True) if match else b""
    except ValueError:
        raw = b""
    if match is None or len(raw) != 33 or raw[:1] != _KIND:
        raise TrustError("witness key is not of the form `name+id+key` and the cosignature kind")
    key = WitnessKey(match[1], raw[1:])
    if key.key_id.hex() != match[2]:
        raise TrustError("witness key and its id do not belong together")
    return key
