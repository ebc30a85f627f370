"""Opening the directory: one process, one name, one key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.audit.birth import open_birth
from gateway.audit.errors import AuditError, NoteError
from gateway.audit.files import OsFiles
from gateway.audit.keys import load_signer
from gateway.audit.note import open_note
from gateway.audit.origin import note_begun, open_origin
from tests.gateway.audit.harness import ORIGIN, FaultyFiles, FixedClock, nth, opened, small_log, trust_in


def open_in(path: Path, origin: str = ORIGIN, files: OsFiles | None = None) -> None:
    files = files or OsFiles()
    files.close(open_origin(path / "log", origin, path / "keys" / "audit.pem", files, FixedClock()).lock)


def test_log_file_is_a_note_that_names_the_log_and_its_key(tmp_path: Path) -> None:
    small_log(tmp_path)
    note = (tmp_path / "log" / "LOG").read_bytes()
    text = open_note(note, trust_in(tmp_path))
    assert text.split("\n")[:2] == ["gatehouse-audit-log/v2", ORIGIN]
    assert open_birth(note, trust_in(tmp_path)).version == 2


def test_directory_of_another_log_is_refused(tmp_path: Path) -> None:
    small_log(tmp_path)
    with pytest.raises(AuditError, match="`test/one/audit`, expected `test/two/audit`") as caught:
        open_in(tmp_path, "test/two/audit")
    assert caught.value.code == "audit_origin_mismatch"


def test_log_is_not_continued_without_its_key_nor_under_another(tmp_path: Path) -> None:
    small_log(tmp_path)
    (tmp_path / "keys").rename(tmp_path / "kept")
    with pytest.raises(AuditError) as caught:
        open_in(tmp_path)
    assert caught.value.code == "audit_key_missing"
    (tmp_path / "elsewhere").mkdir()
    open_in(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "keys").rename(tmp_path / "keys")
    with pytest.raises(AuditError) as caught:
        open_in(tmp_path)
    assert caught.value.code == "audit_key_mismatch"


@pytest.mark.parametrize("data", [b"", b"gatehouse-audit-log/v2\ntest/one/audit\n", b"\xff\0"])
def test_records_without_a_readable_log_file_are_refused(tmp_path: Path, data: bytes) -> None:
    small_log(tmp_path)
    (tmp_path / "log" / "LOG").write_bytes(data)
    with pytest.raises(AuditError):
        open_in(tmp_path)
    assert (tmp_path / "log" / "LOG").read_bytes() == data


def operations_of_a_first_start(path: Path) -> int:
    files = FaultyFiles()
    open_in(path, files=files)
    return len(files.done)


def test_first_start_that_was_cut_off_at_any_operation_can_be_repeated(tmp_path: Path) -> None:
    count = operations_of_a_first_start(tmp_path / "clean")
    assert count >= 12
    for number in range(count):
        place = tmp_path / str(number)
        with pytest.raises(AuditError) as caught:
            open_in(place, files=FaultyFiles(nth(number), short=True))
        assert caught.value.code == "audit_dir_unwritable"
        opened(place).close()


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(AuditError, match="log") as caught:
        open_in(tmp_path)
    assert caught.value.code == "audit_dir_unwritable"


def test_missing_directories_are_made_private(tmp_path: Path) -> None:
    open_in(tmp_path / "new" / "site")
    assert (tmp_path / "new" / "site" / "log").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_note_of_another_format_is_refused(tmp_path: Path) -> None:
    small_log(tmp_path)
    signer = load_signer(tmp_path / "keys" / "audit.pem", ORIGIN, OsFiles())
    with pytest.raises(NoteError, match="gatehouse-audit-log/v2"):
        open_birth(signer.sign("gatehouse-audit-log/v9\n"), trust_in(tmp_path))


def test_a_log_that_was_begun_and_is_gone_is_not_begun_again(tmp_path: Path) -> None:
    """An empty mount point in its place, say: a second history under the same name would hide the first one."""
    small_log(tmp_path)
    note_begun(tmp_path / "keys" / "audit.pem", ORIGIN, OsFiles())
    shutil.rmtree(tmp_path / "log")
    for _ in range(2):
        with pytest.raises(AuditError) as caught:
            open_in(tmp_path)
        assert (caught.value.code, "was begun" in str(caught.value)) == ("audit_rollback", True)
    (tmp_path / "keys" / "audit.pem").unlink()
    open_in(tmp_path, origin="tests/another")
