"""Blobs are found where they were put, and nothing else is taken for one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.files import OsFiles
from gateway.content.errors import ContentMissing, ContentUnavailable
from gateway.content.segments import SegmentWriter, Spot, blobs, encoded, read_blob
from tests.gateway.content.opened import place


class FailingDisk(OsFiles):
    """Its syncs fail while told so."""

    fails = False

    def datasync(self, descriptor: int) -> None:
        if self.fails:
            raise OSError(5, os.strerror(5))
        super().datasync(descriptor)


def put(writer: SegmentWriter, blob: bytes, class_: str = "default") -> tuple[Spot, str]:
    where = place(class_=class_)
    spot = writer.end(class_)
    writer.write(class_, encoded(where, "k" * 32, blob))
    return spot, where.ref


def test_blobs_are_read_back_alone_and_in_order(tmp_path: Path) -> None:
    writer = SegmentWriter(OsFiles(), tmp_path)
    spots = [put(writer, blob) for blob in (b"first", b"", b"with\nlines\n", os.urandom(5000))]
    read = [read_blob(tmp_path, spot, ref).data for spot, ref in spots]
    assert read == [found.data for found in blobs(tmp_path / spots[0][0].segment)]
    assert read[:3] == [b"first", b"", b"with\nlines\n"]


@settings(max_examples=30)
@given(st.integers(min_value=0, max_value=900))
def test_an_end_that_was_cut_off_hides_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory = tmp_path_factory.mktemp("cut")
    writer = SegmentWriter(OsFiles(), directory)
    first, _ = put(writer, b"a" * 100)
    last, ref = put(writer, b"b" * 100)
    path = directory / first.segment
    whole = path.stat().st_size
    os.truncate(path, max(last.offset, whole - 1 - cut))
    assert [found.data for found in blobs(path)] == [b"a" * 100]
    with pytest.raises(ContentMissing) as error:
        read_blob(directory, last, ref)
    assert error.value.code == "content_lost"


def test_another_start_and_another_class_begin_another_file(tmp_path: Path) -> None:
    names = [put(SegmentWriter(OsFiles(), tmp_path), b"x", class_)[0].segment for class_ in ("a", "a", "b")]
    assert names == ["a/0000000000000000.blobs", "a/0000000000000001.blobs", "b/0000000000000000.blobs"]


def test_a_file_ends_when_it_is_full(tmp_path: Path) -> None:
    writer = SegmentWriter(OsFiles(), tmp_path, segment_bytes=100)
    assert [put(writer, b"x" * 200)[0] for _ in range(2)] == [
        Spot("default/0000000000000000.blobs", 0),
        Spot("default/0000000000000001.blobs", 0),
    ]


def test_a_file_whose_sync_failed_is_never_used_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = SegmentWriter(disk, tmp_path)
    put(writer, b"before")
    disk.fails = True
    with pytest.raises(ContentUnavailable):
        put(writer, b"lost")
    disk.fails = False
    spot, ref = put(writer, b"after")
    assert spot == Spot("default/0000000000000001.blobs", 0)
    assert read_blob(tmp_path, spot, ref).data == b"after"


def test_a_blob_of_other_bytes_or_another_name_is_told_apart(tmp_path: Path) -> None:
    writer = SegmentWriter(OsFiles(), tmp_path)
    spot, ref = put(writer, b"content of the blob")
    path = tmp_path / spot.segment
    for wrong, code in ((Spot(spot.segment, 3), "content_lost"), (Spot("default/9.blobs", 0), "content_lost")):
        with pytest.raises(ContentMissing) as error:
            read_blob(tmp_path, wrong, ref)
        assert error.value.code == code
    with pytest.raises(ContentMissing, match="not where it was put"):
        read_blob(tmp_path, spot, "f" * 32)
    path.write_bytes(path.read_bytes().replace(b"content of", b"c0ntent of"))
    with pytest.raises(ContentMissing) as error:
        read_blob(tmp_path, spot, ref)
    assert error.value.code == "content_altered"
