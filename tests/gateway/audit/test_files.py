"""The operations everything rests on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.audit.files import OsFiles, write_all, write_new_file
from tests.gateway.audit.harness import FaultyFiles, nth


class OneByteFiles(OsFiles):
    """Takes one byte at a time, as a signal or a full disk may."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        return super().write(descriptor, data[:1])


def test_short_writes_are_continued(tmp_path: Path) -> None:
    files = OneByteFiles()
    descriptor = files.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    write_all(files, descriptor, b"whole line\n")
    files.close(descriptor)
    assert (tmp_path / "f").read_bytes() == b"whole line\n"


def test_files_are_private_and_not_inherited(tmp_path: Path) -> None:
    files = OsFiles()
    descriptor = files.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    assert not os.get_inheritable(descriptor)
    files.close(descriptor)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", range(4))
def test_new_file_is_complete_or_the_old_one_stays(tmp_path: Path, number: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    files = FaultyFiles(nth(number), short=True)
    with pytest.raises(OSError, match="Input/output"):
        write_new_file(files, path, b"new content")
    assert path.read_bytes() == b"old"


def test_second_lock_is_refused_at_once(tmp_path: Path) -> None:
    files = OsFiles()
    first, second = (files.open(tmp_path / "f", os.O_RDWR | os.O_CREAT) for _ in range(2))
    files.lock(first)
    with pytest.raises(BlockingIOError):
        files.lock(second)
    files.close(first)
    files.lock(second)
    files.close(second)
