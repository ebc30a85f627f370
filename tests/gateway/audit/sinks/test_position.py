"""How far a sink had come, kept between starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles
from gateway.audit.sinks.position import START, Piece, Position, PositionFile


def test_position_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    file = PositionFile(tmp_path / "sinks" / "a.position", "site/one", OsFiles())
    assert file.load() is None
    for at in (START, Position(3, 77, 9, bytes(range(32)))):
        file.save(at)
        assert file.load() == at


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"segment":1,"offset":2,"seq":3,"leaf":"zz"}'])
def test_file_that_is_not_ours_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.position").write_bytes(data)
    with pytest.raises(AuditError, match="does not say how far"):
        PositionFile(tmp_path / "a.position", "site/one", OsFiles()).load()


def test_position_in_another_log_is_none(tmp_path: Path) -> None:
    """A log that was adopted under a new name begins its sinks anew."""
    PositionFile(tmp_path / "a.position", "site/one", OsFiles()).save(START)
    assert PositionFile(tmp_path / "a.position", "site/two", OsFiles()).load() is None


def test_piece_ends_where_its_last_line_does() -> None:
    piece = Piece(Position(0, 10, 2, b"a"), [b"one\n", b"three\n"], [b"b", b"c"])
    assert (piece.data, piece.end) == (b"one\nthree\n", Position(0, 20, 4, b"c"))
