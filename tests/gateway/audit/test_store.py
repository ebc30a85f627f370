"""Durable append: what counts after a disk that fills up, lies, or is touched by somebody else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.audit.errors import AuditUnavailable, SegmentLost
from gateway.audit.files import OsFiles
from gateway.audit.segments import Continues
from gateway.audit.store import DAY_NS, Store
from tests.gateway.audit.harness import FaultyFiles


class Disk(FaultyFiles):
    """Fails the named operations while they are listed."""

    def __init__(self, *names: str, code: int = errno.EIO, short: bool = False) -> None:
        self.failing = set(names)
        super().__init__(lambda _, name: code if name in self.failing else None, short)


def store_in(path: Path, files: OsFiles | None = None, segment_bytes: int = 1000) -> Store:
    (path / "seg").mkdir(exist_ok=True)
    return Store(files or OsFiles(), path, segment_bytes)


def names_in(path: Path) -> list[str]:
    return sorted(file.name for file in (path / "seg").iterdir())


def test_new_segment_by_size_and_by_day_named_after_its_first_record(tmp_path: Path) -> None:
    store = store_in(tmp_path, segment_bytes=10)
    store.commit(0, b"12345678\n", 0)
    store.commit(1, b"1234\n", 0)
    store.commit(2, b"12\n", 0)
    store.commit(3, b"\n", DAY_NS)
    store.close()
    assert names_in(tmp_path) == [f"{first:016d}.jsonl" for first in (0, 1, 3)]


def test_batch_larger_than_a_segment_still_goes_into_one(tmp_path: Path) -> None:
    store = store_in(tmp_path, segment_bytes=10)
    store.commit(0, b"x" * 50 + b"\n", 0)
    assert names_in(tmp_path) == ["0000000000000000.jsonl"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_leaves_no_part_of_the_batch_and_the_segment_goes_on(tmp_path: Path, code: int) -> None:
    disk = Disk(code=code, short=True)
    store = store_in(tmp_path, disk)
    store.commit(0, b"first\n", 0)
    disk.failing.add("write")
    with pytest.raises(AuditUnavailable, match="no room"):
        store.commit(1, b"second\n", 0)
    assert (tmp_path / "seg" / "0000000000000000.jsonl").read_bytes() == b"first\n"
    disk.failing.clear()
    store.commit(1, b"again\n", 0)
    assert (tmp_path / "seg" / "0000000000000000.jsonl").read_bytes() == b"first\nagain\n"
    assert store.mishap is None


@pytest.mark.parametrize("operations", [["datasync"], ["write"], ["write", "truncate"]])
def test_descriptor_that_failed_is_never_used_again(tmp_path: Path, operations: list[str]) -> None:
    disk = Disk(short=True)
    store = store_in(tmp_path, disk)
    store.commit(0, b"first\n", 0)
    disk.failing.update(operations)
    with pytest.raises(SegmentLost):
        store.commit(1, b"second\n", 0)
    disk.failing.clear()
    assert store.mishap is not None
    assert store.mishap.continues == Continues(0, 6)
    store.commit(1, b"again\n", 0)
    assert (tmp_path / "seg" / "0000000000000001.jsonl").read_bytes() == b"again\n"
    assert store.mishap is None


def test_segment_lost_in_its_first_batch_is_set_aside_and_the_earlier_claim_stands(tmp_path: Path) -> None:
    disk = Disk()
    store = store_in(tmp_path, disk)
    store.commit(0, b"first\n", 0)
    disk.failing.add("datasync")
    for _ in range(3):
        with pytest.raises(SegmentLost):
            store.commit(1, b"second\n", 0)
    disk.failing.clear()
    assert store.mishap is not None
    assert store.mishap.continues == Continues(0, 6)
    store.commit(1, b"again\n", 0)
    assert names_in(tmp_path) == [
        "0000000000000000.jsonl",
        "0000000000000001.1.void",
        "0000000000000001.jsonl",
        "0000000000000001.void",
    ]


@pytest.mark.parametrize("touch", ["delete", "rename", "replace", "truncate", "append"])
def test_segment_that_somebody_touched_is_not_written_to(tmp_path: Path, touch: str) -> None:
    store, file = store_in(tmp_path), tmp_path / "seg" / "0000000000000000.jsonl"
    store.commit(0, b"first\n", 0)
    if touch == "delete":
        file.unlink()
    elif touch == "rename":
        file.rename(tmp_path / "elsewhere")
    elif touch == "replace":
        copy = tmp_path / "copy"
        copy.write_bytes(file.read_bytes())
        copy.rename(file)
    elif touch == "truncate":
        os.truncate(file, 2)
    else:
        with file.open("ab") as other:
            other.write(b"forged\n")
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="0000000000000000"):
            store.commit(1, b"second\n", 0)


def test_segment_that_was_put_back_is_written_to_again(tmp_path: Path) -> None:
    store, file = store_in(tmp_path), tmp_path / "seg" / "0000000000000000.jsonl"
    store.commit(0, b"first\n", 0)
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(AuditUnavailable):
        store.commit(1, b"second\n", 0)
    (tmp_path / "elsewhere").rename(file)
    store.commit(1, b"second\n", 0)
    assert file.read_bytes() == b"first\nsecond\n"


@pytest.mark.parametrize("operation", ["open", "sync_directory"])
def test_segment_that_cannot_be_created_is_tried_again_later(tmp_path: Path, operation: str) -> None:
    disk = Disk(operation, code=errno.ENOSPC)
    store = store_in(tmp_path, disk)
    with pytest.raises(AuditUnavailable, match="cannot be created"):
        store.commit(0, b"first\n", 0)
    disk.failing.clear()
    store.commit(0, b"first\n", 0)
    assert names_in(tmp_path) == ["0000000000000000.jsonl"]
