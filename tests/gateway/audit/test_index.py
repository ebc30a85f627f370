"""The search index is a cache of the log: complete after every opening, whatever it was before."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.audit.index import open_index, read_line
from tests.gateway.audit.harness import exchange, lines_in, opened, segments_in, small_log

ROOT = Path(__file__).resolve().parents[3]


def indexed(path: Path) -> list[tuple[int, str]]:
    with closing(open_index(path / "index.sqlite", path / "log")) as index:
        rows = index.execute("SELECT seq, type, segment, offset FROM record ORDER BY seq").fetchall()
    found = [read_line(path / "log", segment, offset) for _, _, segment, offset in rows]
    assert found == lines_in(path)
    return [(seq, kind) for seq, kind, _, _ in rows]


def test_the_index_grows_with_the_log(tmp_path: Path) -> None:
    small_log(tmp_path)
    assert [seq for seq, _ in indexed(tmp_path)] == list(range(28))
    log = opened(tmp_path)
    for number in range(3):
        log.writer.write(exchange(f"more-{number}"))
        assert len(indexed(tmp_path)) == len(lines_in(tmp_path)) >= 29 + 3 * (number + 1)
    log.close()


def test_an_unfinished_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    small_log(tmp_path)
    last = segments_in(tmp_path)[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:-10])
    with closing(open_index(tmp_path / "index.sqlite", tmp_path / "log")) as index:
        assert index.execute("SELECT max(seq) FROM record").fetchone() == (26,)
    last.write_bytes(whole)
    assert len(indexed(tmp_path)) == 28


def test_an_index_of_another_log_is_made_anew(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=9)
    assert len(indexed(tmp_path)) == 58
    other = tmp_path / "other"
    small_log(other, exchanges=1, starts=1)
    (tmp_path / "log").rename(tmp_path / "old")
    (other / "log").rename(tmp_path / "log")
    assert len(indexed(tmp_path)) == 5


def test_an_index_of_another_layout_is_made_anew(tmp_path: Path) -> None:
    small_log(tmp_path)
    indexed(tmp_path)
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as index, index:
        index.execute("UPDATE place SET layout = 0")
        index.execute("DELETE FROM record WHERE seq > 3")
    assert len(indexed(tmp_path)) == 28


def test_numbers_that_were_given_out_again_replace_what_was_lost(tmp_path: Path) -> None:
    """After a failed sync the next segment starts again with numbers that were read already."""
    small_log(tmp_path)
    indexed(tmp_path)
    last = segments_in(tmp_path)[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[:-2])
    claim = (
        lines[-2]
        .replace(b'"continues"', b"")
        .replace(b'"boot"', f'"continues":{{"first":{int(last.stem)},"offset":{len(kept)}}},"boot"'.encode(), 1)
    )
    (tmp_path / "log" / "seg" / "0000000000000026.jsonl").write_bytes(claim)
    with closing(open_index(tmp_path / "index.sqlite", tmp_path / "log")) as index:
        rows = index.execute("SELECT seq, segment FROM record WHERE seq >= 25 ORDER BY seq").fetchall()
    assert rows == [(25, 14), (26, 26)]


def test_a_line_that_is_no_record_stops_nothing(tmp_path: Path) -> None:
    small_log(tmp_path)
    with segments_in(tmp_path)[-1].open("ab") as file:
        file.write(b"not json\n[1]\n")
    with closing(open_index(tmp_path / "index.sqlite", tmp_path / "log")) as index:
        assert index.execute("SELECT count(*) FROM record").fetchone() == (28,)
    with (tmp_path / "log" / "seg" / "0000000000000028.jsonl").open("ab") as file:
        file.write(b"more of it\n")
    with closing(open_index(tmp_path / "index.sqlite", tmp_path / "log")) as index:
        assert index.execute("SELECT count(*) FROM record").fetchone() == (28,)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    small_log(tmp_path)
    indexed(tmp_path)
    assert (tmp_path / "index.sqlite").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_index_is_an_error_and_stays(tmp_path: Path) -> None:
    small_log(tmp_path)
    (tmp_path / "index.sqlite").write_bytes(b"something else entirely" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        open_index(tmp_path / "index.sqlite", tmp_path / "log")
    assert (tmp_path / "index.sqlite").read_bytes().startswith(b"something else")


def test_a_build_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed after any batch: what was committed stays, and the whole is the same as if nothing had happened."""
    small_log(tmp_path)
    with closing(open_index(tmp_path / "whole.sqlite", tmp_path / "log")) as index:
        whole = contents(index)

    class Killed(Exception):
        pass

    def kill(_: int) -> None:
        raise Killed

    log = opened(tmp_path)
    told = list[int]()
    for number in range(4):
        log.writer.write(exchange(f"more-{number}"))
        with pytest.raises(Killed):
            open_index(tmp_path / "index.sqlite", tmp_path / "log", kill)
    log.writer.write(exchange("last"))
    log.close()
    with closing(open_index(tmp_path / "index.sqlite", tmp_path / "log", told.append)) as index:
        assert told == [len(lines_in(tmp_path))]
        with closing(open_index(tmp_path / "whole.sqlite", tmp_path / "log")) as other:
            assert contents(index) == contents(other) != whole


def test_two_that_build_at_once_count_nothing_twice(tmp_path: Path) -> None:
    """After each batch of one, another brings the index up to date: the first notices and goes on behind it."""
    small_log(tmp_path)
    log, path = tmp_path / "log", tmp_path / "index.sqlite"
    turns = list[int]()

    def overtake(read: int) -> None:
        turns.append(read)
        if len(turns) < 4:
            open_index(path, log, batch=9).close()

    with closing(open_index(path, log, overtake, batch=5)) as index:
        assert turns == [5], "what the other had read was not read again"
        with closing(open_index(tmp_path / "alone.sqlite", log)) as alone:
            assert contents(index) == contents(alone)


def test_many_processes_build_one_index(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=40)
    log, path = tmp_path / "log", tmp_path / "index.sqlite"
    program = "import sys; from pathlib import Path; from gateway.audit.index import open_index as o; "
    program += f"o(Path({str(path)!r}), Path({str(log)!r}), batch=3).close()"
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    with closing(open_index(path, log)) as index, closing(open_index(tmp_path / "alone.sqlite", log)) as alone:
        assert contents(index) == contents(alone)


def test_a_build_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=60)
    log, path = tmp_path / "log", tmp_path / "index.sqlite"
    program = "import os, sys; from pathlib import Path; from gateway.audit.index import open_index as o; "
    program += (
        f"o(Path({str(path)!r}), Path({str(log)!r}), lambda n: n < int(sys.argv[1]) or os.kill(os.getpid(), 9), 7)"
    )
    for until in (30, 60, 200):
        killed = subprocess.run([sys.executable, "-c", program, str(until)], cwd=ROOT, timeout=60)
        assert killed.returncode == -9
        with closing(sqlite3.connect(path)) as index:
            [(read,)] = index.execute("SELECT next FROM place").fetchall()
        assert until <= read < until + 7
    with closing(open_index(path, log)) as index, closing(open_index(tmp_path / "whole.sqlite", log)) as whole:
        assert contents(index) == contents(whole)


def contents(index: sqlite3.Connection) -> list[list[object]]:
    tables = ("record", "score", "rule", "daily")
    found: list[list[object]] = [index.execute(f"SELECT * FROM {name}").fetchall() for name in tables]
    return [*found, index.execute("SELECT rowid FROM word WHERE word MATCH 'complete OR admit'").fetchall()]
