"""Heads in a directory of another mount."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gateway.audit.anchors.anchor import HeadNote
from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.file_drop import FileAnchor
from gateway.audit.anchors.settings import FileDrop
from gateway.audit.note import Checkpoint
from tests.gateway.audit.harness import ORIGIN, FaultyFiles, signer_in


def head(size: int, root: int = 0, time_ns: int = 5) -> HeadNote:
    checkpoint = Checkpoint(ORIGIN, size, bytes([root] * 32), time_ns)
    return HeadNote(signer_in(seed=1).sign(checkpoint.text()), checkpoint, b"")


def test_each_head_is_a_file_of_its_size(tmp_path: Path) -> None:
    anchor = FileAnchor(FileDrop(tmp_path))
    assert anchor.put(head(7)) == {
        "note": head(7).note.decode(),
        "path": "test-one-audit/0000000000000007.checkpoint",
    }
    anchor.put(head(12))
    assert sorted(path.name for path in (tmp_path / "test-one-audit").iterdir()) == [
        "0000000000000007.checkpoint",
        "0000000000000012.checkpoint",
    ]
    assert (tmp_path / "test-one-audit/0000000000000007.checkpoint").read_bytes() == head(7).note
    anchor.close()


def test_what_is_there_is_never_written_again(tmp_path: Path) -> None:
    anchor = FileAnchor(FileDrop(tmp_path))
    anchor.put(head(7))
    anchor.put(head(7, time_ns=9))
    assert (tmp_path / "test-one-audit/0000000000000007.checkpoint").read_bytes() == head(7).note
    with pytest.raises(AnchorError, match="not the one that was anchored") as refused:
        anchor.put(head(7, root=1))
    assert refused.value.is_alarm


def test_a_log_that_was_set_back_is_an_alarm(tmp_path: Path) -> None:
    before, after = FileAnchor(FileDrop(tmp_path)), FileAnchor(FileDrop(tmp_path))
    before.put(head(12))
    for anchor in (before, after):
        with pytest.raises(AnchorError, match="holds a head of 12 records, this log has 7: it was set back") as refused:
            anchor.put(head(7))
        assert refused.value.code == "anchor_ahead"
    assert after.put(head(13))


def test_a_missing_mount_is_not_made_up_on_this_disk(tmp_path: Path) -> None:
    with pytest.raises(AnchorError, match="is the mount missing") as refused:
        FileAnchor(FileDrop(tmp_path / "mnt")).put(head(7))
    assert refused.value.code == "anchor_unwritable"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["make_directory", "open", "write", "datasync", "rename", "sync_directory"])
def test_a_head_that_is_not_durable_does_not_count(tmp_path: Path, name: str) -> None:
    files = FaultyFiles(lambda _, at: errno.EIO if at == name else None)
    with pytest.raises(AnchorError, match="Input/output error"):
        FileAnchor(FileDrop(tmp_path), files).put(head(7))
    assert FileAnchor(FileDrop(tmp_path)).put(head(7))
