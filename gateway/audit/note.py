"""Signed notes and checkpoints in the C2SP formats (signed-note, tlog-checkpoint), so that foreign tools can read them.

A note is text, an empty line, and signature lines. Opening one needs the key: there is no way to get at the text of
a note that was not verified. Signatures by other keys are skipped, as later versions add witnesses' lines.
Base64 must be in its one canonical spelling; otherwise a changed byte could go unnoticed.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.audit.errors import NoteError, TrustError

_ED25519 = b"\x01"
_MARK = "— "
_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_TIME = re.compile(r"time ([1-9][0-9]{0,19})")


def is_origin(name: str) -> bool:
    """Letters, digits, `.`, `_`, `-`, in parts divided by `/`: safe in notes, keys and file names alike."""
    return len(name) <= 200 and _ORIGIN.fullmatch(name) is not None


def strict_b64(text: str, length: int) -> bytes:
    """Decode base64 of a known length; a second spelling of the same bytes is refused."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise NoteError("base64 cannot be decoded") from None
    if len(data) != length or b64encode(data).decode() != text:
        raise NoteError(f"base64 is not the canonical form of {length} bytes")
    return data


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Public half of a log key, bound to the log's name."""

    name: str
    key: bytes

    def __post_init__(self) -> None:
        if not is_origin(self.name):
            raise ValueError("key name is not an origin")
        if len(self.key) != 32:
            raise ValueError(f"key is {len(self.key)} bytes, expected 32")

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    @property
    def vkey(self) -> str:
        """The text form `name+id+key`, which is what an auditor keeps."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.key).decode()}"

    def check(self, text: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        except InvalidSignature:
            return False
        return True


def parse_vkey(text: str) -> VerifierKey:
    """Read the text form, and check the id it carries."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not is_origin(parts[0]):
        raise TrustError("verifier key is not of the form `name+id+key`")
    try:
        raw = strict_b64(parts[2], 33)
    except NoteError as exc:
        raise TrustError(f"verifier key: {exc}") from None
    if raw[:1] != _ED25519:
        raise TrustError("verifier key is not of the Ed25519 kind")
    key = VerifierKey(parts[0], raw[1:])
    if key.key_id.hex() != parts[1]:
        raise TrustError("verifier key and its id do not belong together")
    return key


class Signer:
    """Signs notes under one name. Holds the private key; prints nothing of it."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw())
        self._mark = f"{_MARK}{name} ".encode()

    def sign(self, text: str) -> bytes:
        """The complete note. The text ends with a newline."""
        body = text.encode()
        return body + b"\n" + self._line(body)

    def cosign(self, note: bytes) -> bytes:
        """The note with our signature line added."""
        return note + self._line(note.rpartition(b"\n\n")[0] + b"\n")

    def sign_bytes(self, data: bytes) -> bytes:
        """The bare signature, 64 bytes. Only for texts whose first line can be that of no note."""
        return self._private.sign(data)

    def _line(self, body: bytes) -> bytes:
        return self._mark + b64encode(self.verifier.key_id + self._private.sign(body)) + b"\n"


def open_note(note: bytes, key: VerifierKey) -> str:
    """The text of a note that carries a valid signature of this key."""
    body, lines = _parts(note)
    signatures = [_signature(line, key) for line in lines]
    own = [signature for signature in signatures if signature is not None]
    if not own:
        raise NoteError(f"note carries no signature by `{key.name}+{key.key_id.hex()}`")
    if not all(key.check(body.encode(), signature) for signature in own):
        raise NoteError("signature does not match the text")
    return body


def signing_ids(note: bytes, name: str) -> set[bytes]:
    """Ids of the keys of this name that the note says it was signed by. Nothing is verified yet."""
    return {raw[:4] for line in _parts(note)[1] if (raw := _blob(line, name)[1])}


def _parts(note: bytes) -> tuple[str, list[str]]:
    """Text and signature lines."""
    try:
        text, found, lines = note.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise NoteError("note is not UTF-8") from None
    if not found or not lines.endswith("\n"):
        raise NoteError("note is incomplete")
    return text + "\n", lines[:-1].split("\n")


def _signature(line: str, key: VerifierKey) -> bytes | None:
    """The signature if the line is by this key, None if by another."""
    blob, raw = _blob(line, key.name)
    return strict_b64(blob, 68)[4:] if raw[:4] == key.key_id else None


def _blob(line: str, name: str) -> tuple[str, bytes]:
    """What a signature line carries, as text and decoded; nothing if it is of another name."""
    if not line.startswith(_MARK) or line.count(" ") != 2:
        raise NoteError("note has a malformed signature line")
    _, signed_by, blob = line.split(" ")
    if signed_by != name:
        return "", b""
    try:
        return blob, b64decode(blob, validate=True)
    except ValueError:
        raise NoteError("signature cannot be decoded") from None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log's head at one moment: how many records, and the hash over all of them."""

    origin: str
    size: int
    root: bytes
    time_ns: int

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\ntime {self.time_ns}\n"


def parse_checkpoint(text: str, name: str) -> Checkpoint:
    """Read the text of a note that was verified."""
    lines = text.split("\n")
    if len(lines) != 5 or lines[4]:
        raise NoteError("checkpoint does not have the four lines origin, size, root and time")
    origin, size, root, time_line = lines[:4]
    time = _TIME.fullmatch(time_line)
    if origin != name or _SIZE.fullmatch(size) is None or time is None:
        raise NoteError("checkpoint lines are malformed")
    return Checkpoint(origin, int(size), strict_b64(root, 32), int(time[1]))
