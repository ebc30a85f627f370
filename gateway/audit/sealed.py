"""V3: does the seal of a closed segment say what the segment holds.

A seal that is there has to hold in any log; in a log of version 2 every segment but the newest must have one. It is
read before the size of its segment is taken: a writer that closes the segment meanwhile then looks like one that has
not yet done so.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from gateway.audit.epochs import EpochChain
from gateway.audit.errors import NoteError, PackedError
from gateway.audit.packed import PACKED, open_stored
from gateway.audit.report import DoesNotHold, Exit, Finding
from gateway.audit.seal import Seal, open_seal, seal_path
from gateway.audit.segments import Segment

_BLOCK = 1024 * 1024


def read_seal(segment: Segment) -> bytes | None:
    """The note beside the segment, if there is one."""
    with suppress(FileNotFoundError):
        return seal_path(segment.path).read_bytes()
    return None


def require_packed(chain: EpochChain, segment: Segment, note: bytes | None, size: int) -> None:
    """That a compressed segment, if it is one, is what its seal says, before a line of it is looked at.

    `size`: records before it. A segment under another number is for the caller to judge.
    """
    if segment.path.suffix != PACKED or segment.first != size:
        return
    try:
        if note is None:
            raise NoteError("no seal beside it")
        seal, _ = open_seal(note, chain)
        if _digest(segment.path, seal.size) != seal.digest:
            raise NoteError("other bytes than its seal is over")
    except (NoteError, PackedError) as exc:
        found = str(exc.strerror) if isinstance(exc, PackedError) else str(exc)
        expected = "a compressed segment that holds what its seal is over"
        name = f"seg/{segment.path.name}"
        raise DoesNotHold(Finding(Exit.ALTERED, "packed", name, expected, found, seq=size)) from exc


def check_seal(
    chain: EpochChain, segment: Segment, note: bytes | None, end: int, tree: tuple[int, bytes], is_last: bool
) -> None:
    """Compare the seal with a segment that was read up to byte `end`, where the tree had this size and root."""
    name = f"seg/{seal_path(segment.path).name}"
    if note is None:
        if not is_last:
            raise DoesNotHold(Finding(Exit.INCOMPLETE, "seal_missing", name, "the seal of a closed segment", "no file"))
        return
    try:
        seal, _ = open_seal(note, chain)
    except NoteError as exc:
        raise DoesNotHold(Finding(Exit.ALTERED, "seal", name, "a signed seal", str(exc))) from exc
    size, root = tree
    # What was compressed was compared before a line of it was read.
    digest = seal.digest if segment.path.suffix == PACKED else _digest(segment.path, end)
    held = Seal(seal.origin, segment.first, size - 1, root, end, digest, seal.time_ns)
    wrong = [
        field for field in ("first", "last", "root", "size", "digest") if getattr(seal, field) != getattr(held, field)
    ]
    if wrong:
        expected = f"a seal over records {held.first} to {held.last} in {end} bytes"
        raise DoesNotHold(Finding(Exit.ALTERED, "seal", name, expected, f"another `{wrong[0]}`", seq=segment.first))


def _digest(path: Path, end: int) -> bytes:
    """SHA-256 over the first `end` bytes."""
    digest = sha256()
    with open_stored(path) as file:
        while end > 0 and (block := file.read(min(_BLOCK, end))):
            digest.update(block)
            end -= len(block)
    return digest.digest()
