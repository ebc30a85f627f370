"""At each start one closed segment, drawn by lot, is read again and compared with its seal.

A start reads only the end of a large log (resume.py), so this is where a byte that was changed in an old segment is
noticed, and a seal that was exchanged or is gone. Over time it visits the whole log without any start waiting for it.
The outcome is a record, good or bad. A bad one stops nothing: what to do is for people, and `gatehouse audit verify`
says more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import structlog

from gateway.audit.epochs import EpochChain
from gateway.audit.errors import NoteError
from gateway.audit.packed import open_stored
from gateway.audit.record import Json
from gateway.audit.seal import open_seal, seal_path
from gateway.audit.segments import Segment, list_segments

_PIECE = 1 << 20
log = structlog.get_logger()
Draw = Callable[[Sequence[Segment]], Segment]


def spot_check(directory: Path, chain: EpochChain, below: int, draw: Draw = secrets.choice) -> dict[str, Json] | None:
    """The record of one check, or None where nothing is sealed yet. `below`: records that were there at the start."""
    closed = [segment for segment in list_segments(directory) if segment.first < below]
    if chain.version == 1 or not closed:
        return None
    segment = draw(closed)
    code = _problem(segment, chain)
    told: dict[str, Json] = {"scope": "segment", "first": segment.first, "outcome": "failed" if code else "ok"}
    if code:
        told["code"] = code
        log.error("audit_segment_differs", segment=segment.path.name, code=code)
    return {"type": "verify.run", "stage": "complete", "verify": told}


def _problem(segment: Segment, chain: EpochChain) -> str:
    try:
        seal, _ = open_seal(seal_path(segment.path).read_bytes(), chain)
    except FileNotFoundError:
        return "seal_missing"
    except NoteError:
        return "seal"
    except OSError:
        return "unreadable"
    try:
        digest, lines = _read(segment.path, seal.size)
    except OSError:
        return "unreadable"
    if seal.first != segment.first:
        return "seal_range"
    if digest != seal.digest:
        return "seal_digest"
    return "" if lines == seal.last - seal.first + 1 else "seal_range"


def _read(path: Path, size: int) -> tuple[bytes, int]:
    """Digest of the first bytes of a file, and how many lines they are. Lets other threads run in between."""
    digest, lines = sha256(), 0
    with open_stored(path) as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            digest.update(piece)
            lines += piece.count(b"\n")
            size -= len(piece)
    return digest.digest(), lines
