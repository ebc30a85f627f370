"""`seg/<first>.seal`: a signed note over a closed segment, so that one file can be checked without the others.

It says which records the segment holds, how many of its bytes count and their digest, and the tree's root after its
last record. It is durable before the next segment is begun: in a log of version 2 only the newest has none.
A segment that was lost to a failed sync is sealed up to its last counted byte; what lies behind that is no part of it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.epochs import Epoch, EpochChain, require_time
from gateway.audit.errors import NoteError
from gateway.audit.note import strict_b64

FORMAT = "gatehouse-audit-seal/v1"
_NUMBER = "(0|[1-9][0-9]{0,19})"
_B64 = "([A-Za-z0-9+/=]+)"
_LINES = re.compile(
    rf"{FORMAT}\n(?P<origin>[^\n]+)\nfirst {_NUMBER}\nlast {_NUMBER}\nroot {_B64}\nbytes {_NUMBER}\nsha256 {_B64}\n"
    rf"time {_NUMBER}\n"
)


@dataclass(frozen=True, slots=True)
class Seal:
    """What a closed segment holds."""

    origin: str
    first: int
    last: int
    root: bytes
    """Of the tree that ends with record `last`."""
    size: int
    """Bytes that count."""
    digest: bytes
    """SHA-256 over them."""
    time_ns: int

    def text(self) -> str:
        """The note's text."""
        root, digest = (b64encode(value).decode() for value in (self.root, self.digest))
        return (
            f"{FORMAT}\n{self.origin}\nfirst {self.first}\nlast {self.last}\nroot {root}\n"
            f"bytes {self.size}\nsha256 {digest}\ntime {self.time_ns}\n"
        )


def seal_path(segment: Path) -> Path:
    """Where the seal of a segment file lies."""
    return segment.with_name(segment.name.partition(".")[0] + ".seal")


def open_seal(note: bytes, chain: EpochChain) -> tuple[Seal, Epoch]:
    """A seal whose signature holds and whose time its key covers, and that key's epoch. NoteError if not."""
    text, epoch = chain.open(note)
    seal = _parse(text)
    if seal.origin != chain.log_key.name:
        raise NoteError("seal is of another log")
    require_time(epoch, seal.time_ns)
    return seal, epoch


def _parse(text: str) -> Seal:
    match = _LINES.fullmatch(text)
    if match is None:
        raise NoteError(f"seal is not of the format `{FORMAT}`")
    origin, first, last, root, size, digest, time_ns = match.groups()
    if int(last) < int(first):
        raise NoteError("seal is over no record")
    hashes = strict_b64(root, 32), strict_b64(digest, 32)
    return Seal(origin, int(first), int(last), hashes[0], int(size), hashes[1], int(time_ns))
