"""Sealed segments that were compressed: `seg/<n>.jsonl.zst`, read as if they were not.

The file is a row of Zstandard frames (RFC 8878), each of which says how much it holds, at most one mebibyte, and has a
checksum: any tool that knows the format reads the records back, and ours reads from any place in them. What counts is
what comes out: it has to be what the seal beside it says, which was made before anything was compressed.

How much comes out is bounded before it is: by what the frames say they hold together, which has to be the number of
bytes in the seal, and then by frame. A file that is anything else is an error and never fills memory or time. Bytes in
it that make no difference to what comes out (a reserved bit of a frame's header) are not evidence.
"""

from __future__ import annotations

import io
import os
import re
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import zstandard

from gateway.audit.errors import PackedError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKED: Final = ".zst"
FRAME: Final = 1024 * 1024
"""Bytes that one frame holds."""
_LEVEL: Final = 6
_MOST_KNOWN: Final = 16
_MOST_OF_FRAME: Final = FRAME + FRAME // 64
"""More than a frame that cannot be compressed at all takes."""
_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LONGEST_HEADER: Final = 18
_BYTES_OF_SEAL: Final = re.compile(rb"^bytes ([0-9]{1,15})$", re.M)


def pack(data: bytes) -> bytes:
    """One frame of at most FRAME bytes."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True).compress(data)


def open_stored(path: Path) -> BinaryIO:
    """Open a segment for reading, whether it was compressed or not. Raises OSError."""
    with suppress(FileNotFoundError):
        if path.suffix != PACKED:
            return path.open("rb", buffering=0)
    return cast("BinaryIO", PackedFile(packed_path(path)))


def stored_size(path: Path) -> int:
    """Bytes of a segment, as they were before it was compressed. Raises OSError."""
    with suppress(FileNotFoundError):
        if path.suffix != PACKED:
            return path.stat().st_size
    with PackedFile(packed_path(path)) as file:
        return file.size


def packed_path(path: Path) -> Path:
    """The compressed file of a segment, whichever of the two is given."""
    return path if path.suffix == PACKED else path.with_name(path.name + PACKED)


@dataclass(slots=True)
class _Frames:
    """Where the frames of a file are, kept for whoever reads it next, with what those that were read last hold."""

    places: list[tuple[int, int]]
    """Place and length of each."""
    starts: list[int]
    """Where in the segment each begins, and the last one ends."""
    held: tuple[tuple[int, bytes], ...] = ()
    """The last two, replaced whole: who reads in stretches goes back a little for each. For several threads."""


_known: dict[tuple[int, ...], _Frames] = {}
"""By all that tells one file from another, or from itself after a change."""


class PackedFile(io.RawIOBase):
    """The bytes that went into a compressed segment. For one thread."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._at = path, 0
        self._file = path.open("rb")
        try:
            self._frames = self._look(_sealed_size(path))
        # Whoever gets no file cannot close it, whatever the reason.
        except BaseException:
            self._file.close()
            raise
        self.size = self._frames.starts[-1]

    def _look(self, expected: int) -> _Frames:
        state = os.fstat(self._file.fileno())
        key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns, expected)
        frames = _known.get(key)
        if frames is None:
            frames = self._walk(expected)
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = frames
        return frames

    def _walk(self, expected: int) -> _Frames:
        """Find the frames. PackedError if they do not say that they hold so many bytes together."""
        frames: list[tuple[int, int]] = []
        starts, at, end = [0], 0, self._file.seek(0, io.SEEK_END)
        while at < end:
            length, holds = self._frame_at(at)
            frames.append((at, length))
            starts.append(starts[-1] + holds)
            at += length
            if starts[-1] > expected:
                break
        if at != end or starts[-1] != expected:
            raise PackedError(self._path, f"does not hold the {expected} bytes of its seal")
        return _Frames(frames, starts)

    def _frame_at(self, at: int) -> tuple[int, int]:
        """Length of the frame that begins there, and how much it holds."""
        self._file.seek(at)
        header = self._file.read(_LONGEST_HEADER)
        try:
            told = zstandard.get_frame_parameters(header)
            length = zstandard.frame_header_size(header)
        except zstandard.ZstdError as exc:
            raise PackedError(self._path, "is not a row of Zstandard frames") from exc
        if not header.startswith(_MAGIC) or not 0 < told.content_size <= FRAME or told.dict_id:
            raise PackedError(self._path, f"has a frame that does not say that it holds at most {FRAME} bytes")
        is_last = False
        while not is_last:
            self._file.seek(at + length)
            block = int.from_bytes(read := self._file.read(3), "little")
            is_last = bool(block & 1)
            length += 3 + (1 if (block >> 1) & 3 == 1 else block >> 3)
            if length > _MOST_OF_FRAME or len(read) < 3:
                raise PackedError(self._path, "has a frame that is longer than what it holds")
        return length + (4 if told.has_checksum else 0), int(told.content_size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._at < self.size:
            index = self._index()
            begin = self._at - self._frames.starts[index]
            piece = memoryview(self._frame(index))[begin : begin + len(view) - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done

    def _index(self) -> int:
        return bisect_right(self._frames.starts, self._at) - 1

    def _frame(self, index: int) -> bytes:
        """What a frame holds."""
        frames = self._frames
        data = dict(frames.held).get(index)
        if data is None:
            at, length = frames.places[index]
            self._file.seek(at)
            holds = frames.starts[index + 1] - frames.starts[index]
            try:
                data = zstandard.ZstdDecompressor().decompress(self._file.read(length), allow_extra_data=False)
            except zstandard.ZstdError as exc:
                raise PackedError(self._path, "has a frame that cannot be decompressed") from exc
            if len(data) != holds:
                raise PackedError(self._path, "has a frame that holds something else than it says")
            frames.held = (*frames.held[-1:], (index, data))
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def _sealed_size(path: Path) -> int:
    """How many bytes the seal beside the segment says that there are. Its signature is the verifier's matter."""
    seal = path.with_name(path.name.partition(".")[0] + ".seal")
    try:
        match = _BYTES_OF_SEAL.search(seal.read_bytes())
    except FileNotFoundError:
        match = None
    if match is None:
        raise PackedError(path, "has no seal beside it, which says how much it holds")
    return int(match[1])
