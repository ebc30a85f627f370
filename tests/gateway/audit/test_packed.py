"""Compressed segments, read from any place, and files that only look like one."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import zstandard

from gateway.audit.errors import PackedError
from gateway.audit.packed import FRAME, PackedFile, open_stored, pack, packed_path, stored_size

DATA = b"".join(b'{"line":%d,"text":"%x"}\n' % (number, number * 7919) for number in range(90_000))


def packed_in(path: Path, data: bytes = DATA, frames: bytes | None = None, size: int | None = None) -> Path:
    """A compressed segment beside a seal that says how long it is."""
    plain = path / "0000000000000000.jsonl"
    plain.with_suffix(".seal").write_bytes(b"seal\nbytes %d\nsha256 x\n" % (len(data) if size is None else size))
    pieces = (pack(data[at : at + FRAME]) for at in range(0, len(data), FRAME))
    packed_path(plain).write_bytes(b"".join(pieces) if frames is None else frames)
    return plain


def test_any_stretch_is_what_went_in(tmp_path: Path) -> None:
    plain, rng = packed_in(tmp_path), random.Random(4)
    assert len(DATA) > 2 * FRAME
    with open_stored(plain) as file:
        assert (file.seekable(), file.readable(), file.tell()) == (True, True, 0)
        assert file.read() == DATA
        for _ in range(40):
            at, size = rng.randrange(len(DATA) + 9), rng.choice([0, 1, 40, FRAME, 2 * FRAME])
            assert file.seek(at) == at
            assert file.read(size) == DATA[at : at + size]
        assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
        assert file.seek(2, io.SEEK_CUR) == len(DATA) - 3
        assert file.read() == DATA[-3:]
    assert stored_size(plain) == stored_size(packed_path(plain)) == len(DATA)


def test_plain_file_counts_where_both_are_there(tmp_path: Path) -> None:
    plain = packed_in(tmp_path)
    plain.write_bytes(b"plain\n")
    assert stored_size(plain) == 6
    with open_stored(plain) as file:
        assert file.read() == b"plain\n"


def test_neither_is_an_error_of_the_disk(tmp_path: Path) -> None:
    for ask in (open_stored, stored_size):
        with pytest.raises(FileNotFoundError):
            ask(tmp_path / "0000000000000000.jsonl")


def test_file_of_the_program_zstd_can_be_read(tmp_path: Path) -> None:
    small = DATA[: FRAME // 2]
    with open_stored(packed_in(tmp_path, small, zstandard.ZstdCompressor(level=1).compress(small))) as file:
        assert file.read() == small


def read(plain: Path) -> bytes:
    with open_stored(plain) as file:
        return file.read()


SMALL = DATA[:5000]
ONE = pack(SMALL)


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        (b"", "does not hold the 5000 bytes"),
        (ONE[:-1], "cannot be decompressed|longer|does not hold"),
        (ONE[:9], "longer than what it holds"),
        (ONE + b"\0", "not a row"),
        (ONE + ONE, "does not hold the 5000 bytes"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + ONE, "does not say"),
        (SMALL, "not a row"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(SMALL), "does not say"),
        (pack(bytes(FRAME)) * 50, "does not hold the 5000 bytes"),
        (zstandard.ZstdCompressor().compress(bytes(FRAME + 1)), "does not say"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, frames: bytes, problem: str) -> None:
    with pytest.raises(PackedError, match=problem):
        read(packed_in(tmp_path, SMALL, frames))


def test_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    harmless = 0
    for at in range(len(ONE)):
        broken = bytearray(ONE)
        broken[at] ^= 1 << at % 8
        try:
            harmless += read(packed_in(tmp_path, SMALL, bytes(broken))) == SMALL
        except PackedError:
            continue
    assert harmless <= 4


def test_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    """A file of a few kilobytes that would become a hundred mebibytes."""
    plain = packed_in(tmp_path, SMALL, pack(bytes(FRAME)) * 100)
    with pytest.raises(PackedError, match="does not hold"):
        PackedFile(packed_path(plain))


def test_without_a_seal_nobody_knows_how_much_it_holds(tmp_path: Path) -> None:
    plain = packed_in(tmp_path)
    plain.with_suffix(".seal").write_bytes(b"seal\n")
    with pytest.raises(PackedError, match="no seal"):
        read(plain)
    plain.with_suffix(".seal").unlink()
    with pytest.raises(PackedError, match="no seal"):
        stored_size(plain)
