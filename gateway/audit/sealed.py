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
from gateway.audit.errors import NoteError
from gateway.audit.report import DoesNotHold, Exit, Finding
from gateway.audit.seal import Seal, open_seal, seal_path
from gateway.audit.segments import Segment

_BLOCK = 1024 * 1024


def read_seal(segment: Segment) -> bytes | None:
    """The note beside the segment, if there is one."""
    with suppress(FileNotFoundError):
        return seal_path(segment.path).read_bytes()
    return None


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
    held = Seal(seal.origin, segment.first, size - 1, root, end, _digest(segment.path, end), seal.time_ns)
    wrong = [
        field for field in ("first", "last", "root", "size", "digest") if getattr(seal, field) != getattr(held, field)
    ]
    if wrong:
        expected = f"a seal over records {held.first} to {held.last} in {end} bytes"
        raise DoesNotHold(Finding(Exit.ALTERED, "seal", name, expected, f"another `{wrong[0]}`", seq=segment.first))


def _digest(path: Path, end: int) -> bytes:
    """SHA-256 over the first `end` bytes."""
    digest = sha256()
    with path.open("rb", buffering=0) as file:
        while end > 0 and (block := file.read(min(_BLOCK, end))):
            digest.update(block)
            end -= len(block)
    return digest.digest()
