"""What is left in order is there; what is left by any exception is not, and the file is free for others."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.transaction import immediate


@pytest.fixture
def file(tmp_path: Path) -> Path:
    database = opened(tmp_path / "x.sqlite")
    database.execute("CREATE TABLE t (v)")
    database.close()
    return tmp_path / "x.sqlite"


def opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=0)


def rows(file: Path) -> list[int]:
    other = opened(file)
    try:
        return [row[0] for row in other.execute("SELECT v FROM t ORDER BY v")]
    finally:
        other.close()


def test_all_of_it_is_there_once_it_is_left(file: Path) -> None:
    database = opened(file)
    with immediate(database):
        database.execute("INSERT INTO t VALUES (1)")
        database.execute("INSERT INTO t VALUES (2)")
        assert rows(file) == []
    assert rows(file) == [1, 2]
    database.close()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, GeneratorExit, sqlite3.OperationalError])
def test_nothing_of_it_stays_and_the_exception_goes_on(file: Path, kind: type[BaseException]) -> None:
    database = opened(file)

    def half_done() -> None:
        with immediate(database):
            database.execute("INSERT INTO t VALUES (1)")
            raise kind

    with pytest.raises(kind):
        half_done()
    assert (rows(file), database.in_transaction) == ([], False)
    database.close()


def test_nobody_else_writes_meanwhile(file: Path) -> None:
    database, other = opened(file), opened(file)
    with immediate(database), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    with immediate(other):
        other.execute("INSERT INTO t VALUES (3)")
    assert rows(file) == [3]
    database.close()
    other.close()


def test_an_error_that_has_ended_the_transaction_itself_is_the_one_that_is_told(file: Path) -> None:
    database = opened(file)

    def ended_inside() -> None:
        with immediate(database):
            database.execute("ROLLBACK")
            raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        ended_inside()
    database.close()
