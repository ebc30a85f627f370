"""The two files of signed heads, and what a crash may leave of them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from gateway.audit.checkpoints import HISTORY, NEWEST, CheckpointFiles, last_note, newest_checkpoint
from gateway.audit.epoch_keys import EpochKeys
from gateway.audit.epochs import SignedHead, endless_chain
from gateway.audit.errors import AuditError, AuditUnavailable
from gateway.audit.files import OsFiles
from gateway.audit.heads import notes_in
from tests.gateway.audit.harness import FaultyFiles
from tests.gateway.audit.test_note import SIGNER, open_checkpoint


def heads_in(path: Path) -> list[int]:
    data = (path / HISTORY).read_bytes()
    return [open_checkpoint(note, SIGNER.verifier).size for note in notes_in(io.BytesIO(data), len(data))]


def writer_in(path: Path, files: OsFiles | None = None) -> CheckpointFiles:
    files = files or OsFiles()
    return CheckpointFiles(files, path, EpochKeys.endless(files, SIGNER), newest_in(path))


def newest_in(path: Path) -> SignedHead | None:
    return newest_checkpoint(path, endless_chain(SIGNER.verifier))


def test_newest_is_also_the_last_of_the_history(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    for size in (1, 5, 9):
        writer.write(size, bytes(32), size * 100)
    writer.close()
    assert heads_in(tmp_path) == [1, 5, 9]
    assert last_note((tmp_path / HISTORY).read_bytes())[0] == (tmp_path / NEWEST).read_bytes()


def test_times_do_not_go_back_with_the_clock_even_across_a_restart(tmp_path: Path) -> None:
    for now in (500, 300):
        writer = writer_in(tmp_path)
        writer.write(1, bytes(32), now)
        writer.close()
    newest = newest_in(tmp_path)
    assert newest is not None
    assert newest.head.time_ns == 500


def test_note_cut_short_anywhere_is_removed_and_the_history_goes_on(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    for size in (1, 2):
        writer.write(size, bytes(32), size)
    writer.close()
    whole = (tmp_path / HISTORY).read_bytes()
    for cut in range(len(whole) // 2, len(whole)):
        (tmp_path / HISTORY).write_bytes(whole[:cut])
        (tmp_path / NEWEST).unlink(missing_ok=True)
        writer = writer_in(tmp_path)
        writer.write(3, bytes(32), 3)
        writer.close()
        assert heads_in(tmp_path) == [1, 3]


def test_a_history_that_somebody_touched_is_not_written_to(tmp_path: Path) -> None:
    """Removed, cut, replaced or added to while it is open: heads already promised may be gone."""
    for number, harm in enumerate((Path.unlink, _cut, _replace, _add)):
        path = tmp_path / str(number)
        path.mkdir()
        writer = writer_in(path)
        writer.write(1, bytes(32), 1)
        writer.write(2, bytes(32), 2)
        kept = (path / HISTORY).read_bytes()
        harm(path / HISTORY)
        for _ in range(2):
            with pytest.raises(AuditUnavailable):
                writer.write(3, bytes(32), 3)
        writer.close()
        if harm is not _replace and harm is not _add:
            with pytest.raises(AuditError, match="cut or replaced"):
                newest_in(path)
        (path / HISTORY).write_bytes(kept)
        assert newest_in(path) is not None


def _cut(path: Path) -> None:
    os.truncate(path, 60)


def _replace(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def _add(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("name", [HISTORY, NEWEST])
def test_head_that_was_changed_stops_the_start(tmp_path: Path, name: str) -> None:
    writer = writer_in(tmp_path)
    writer.write(1, bytes(32), 1)
    writer.close()
    file = tmp_path / name
    file.write_bytes(file.read_bytes().replace(b"\n1\n", b"\n0\n"))
    with pytest.raises(AuditError, match=name) as caught:
        newest_in(tmp_path)
    assert caught.value.code == "audit_corrupt"


def test_every_failing_operation_is_reported_and_the_next_write_heals(tmp_path: Path) -> None:
    number = 0
    while True:
        place = tmp_path / str(number)
        place.mkdir()
        failing = {number}
        files = FaultyFiles(lambda at, _, failing=failing: 5 if at in failing else None, short=True)  # type: ignore[misc]
        writer = writer_in(place, files)
        try:
            writer.write(1, bytes(32), 1)
        except AuditUnavailable:
            failing.clear()
            writer.write(2, bytes(32), 2)
            assert heads_in(place)[-1] == 2
            writer.close()
            number += 1
        else:
            writer.close()
            break
    assert number >= 6
