"""Compresses closed segments, so that years of records take a tenth of the room. What they prove stays as it is.

A segment is compressed once its seal holds over every byte of it; one of which that is not true is evidence of
something, and left as it is. The compressed file is written and synced under another name, put in place, read back
whole and compared with the seal, and only then the segment itself is removed: whatever moment the process is killed in,
what is there verifies, since the uncompressed file counts while both are there. The newest segment is never touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from gateway.audit.epochs import EpochChain, load_chain
from gateway.audit.errors import NoteError, PackedError
from gateway.audit.files import Files, write_all
from gateway.audit.note import VerifierKey
from gateway.audit.packed import FRAME, PACKED, open_stored, pack, packed_path
from gateway.audit.seal import Seal, open_seal, seal_path
from gateway.audit.segments import Segment, list_segments
from gateway.audit.upkeep import Upkeep

EVERY_S: Final = 600.0
_REST_S: Final = 0.02
"""After each mebibyte, which takes about as long, so that requests are not slowed down."""
log = structlog.get_logger()


class Packed(NamedTuple):
    """One segment that was looked at."""

    segment: Segment
    before: int
    after: int
    """Bytes of its file now."""
    problem: str = ""
    """Why it was left as it is."""


def compress_older(
    directory: Path, chain: EpochChain, before_ns: int, files: Files, pause: Callable[[], None] = lambda: None
) -> Iterator[Packed]:
    """Compress every closed segment that was sealed before that time. Raises OSError."""
    if chain.version == 1:
        return
    for segment in list_segments(directory)[:-1]:
        if segment.path.suffix == PACKED:
            continue
        try:
            seal, _ = open_seal(seal_path(segment.path).read_bytes(), chain)
            if seal.time_ns < before_ns:
                yield _compress(segment, seal, files, pause)
        except FileNotFoundError:
            yield Packed(segment, 0, 0, "it has no seal")
        except (NoteError, PackedError) as exc:
            told = str(exc.strerror) if isinstance(exc, PackedError) else str(exc)
            yield Packed(segment, 0, 0, f"it is not what its seal says: {told}")


def _compress(segment: Segment, seal: Seal, files: Files, pause: Callable[[], None]) -> Packed:
    target = packed_path(segment.path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        _write(segment.path, temporary, seal, files, pause)
        files.rename(temporary, target)
    # Whatever the reason, nothing of ours stays behind; it goes on.
    except BaseException:
        with suppress(OSError):
            files.unlink(temporary)
        raise
    files.sync_directory(target.parent)
    if _digest(target, pause) != (seal.size, seal.digest):
        files.unlink(target)
        raise PackedError(target, "was not read back as it was written")
    before = segment.path.stat().st_size
    files.unlink(segment.path)
    files.sync_directory(target.parent)
    return Packed(segment, before, target.stat().st_size)


def _write(source: Path, target: Path, seal: Seal, files: Files, pause: Callable[[], None]) -> None:
    """Write the compressed file and make it durable. NoteError: the segment is not what its seal says."""
    digest, left = sha256(), seal.size
    descriptor = files.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with source.open("rb") as file:
            while left > 0 and (block := file.read(min(FRAME, left))):
                digest.update(block)
                left -= len(block)
                write_all(files, descriptor, pack(block))
                pause()
            more = file.read(1)
        if left or more or digest.digest() != seal.digest or seal.first != int(source.name[:16]):
            raise NoteError("other records or bytes")
        files.datasync(descriptor)
    finally:
        files.close(descriptor)


def _digest(path: Path, pause: Callable[[], None]) -> tuple[int, bytes]:
    digest, size = sha256(), 0
    with open_stored(path) as file:
        while block := file.read(FRAME):
            digest.update(block)
            size += len(block)
            pause()
    return size, digest.digest()


class Compressor:
    """Does that beside a running log, on a thread of its own that gives way often."""

    def __init__(self, directory: Path, key: VerifierKey, after_s: float, files: Files) -> None:
        self._directory, self._key, self._after_s, self._files = directory, key, after_s, files
        self._told: set[str] = set()
        self.upkeep = Upkeep("compress", self.turn, EVERY_S, _REST_S)

    def turn(self) -> None:
        """Compress what is old enough now."""
        before_ns = time.time_ns() - round(self._after_s * 10**9)
        try:
            chain = load_chain(self._directory, self._key)
            for packed in compress_older(self._directory, chain, before_ns, self._files, self.upkeep.pause):
                if not packed.problem:
                    log.info(
                        "segment_compressed", segment=packed.segment.path.name, before=packed.before, after=packed.after
                    )
                else:
                    self._tell(f"{packed.segment.path.name}: {packed.problem}")
        except (NoteError, OSError) as exc:
            self._tell(str(exc))

    def _tell(self, problem: str) -> None:
        """Once for each."""
        if problem not in self._told:
            self._told.add(problem)
            log.warning("segment_not_compressed", problem=problem)
