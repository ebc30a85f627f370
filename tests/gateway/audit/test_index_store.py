"""A batch is written whole, in its place, or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.audit.index_fields import indexed
from gateway.audit.index_store import Batch, Line, Overtaken, Place, begin_anew, connect, finish, place_of, write


@pytest.fixture
def index(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(str(tmp_path / "index.sqlite"))) as index:
        begin_anew(index, None)
        yield index


def batch(after: Place | None, *seqs: int) -> Batch:
    made = Batch(after)
    for seq in seqs:
        record = {"seq": seq, "type": "t", "ts": str(seq), "guards": [{"name": "g", "rows": [{"score_ppm": 5}]}]}
        made.add(Line(0, seq * 10, json.dumps(record).encode()), indexed(record))
    return made


def count(index: sqlite3.Connection, table: str) -> int:
    [(number,)] = index.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(number)


def test_batches_follow_each_other(index: sqlite3.Connection) -> None:
    assert place_of(index) is None
    first = write(index, batch(None, 0, 1))
    assert place_of(index) == first
    assert (first.next, first.offset) == (2, 10)
    second = write(index, batch(first, 2, 3))
    assert (second.next, count(index, "record"), count(index, "score")) == (4, 4, 4)
    assert index.execute("SELECT sum(n) FROM daily WHERE heading = 'type'").fetchone() == (4,)
    finish(index)


def test_a_batch_that_another_process_has_written_is_not_written_again(index: sqlite3.Connection) -> None:
    first = write(index, batch(None, 0, 1))
    with pytest.raises(Overtaken):
        write(index, batch(None, 0, 1))
    with pytest.raises(Overtaken):
        begin_anew(index, None)
    assert (place_of(index), count(index, "record")) == (first, 2)


def test_a_batch_that_fails_leaves_nothing(index: sqlite3.Connection) -> None:
    broken = batch(None, 0, 1)
    broken.rules.append((1, object()))  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        write(index, broken)
    assert (place_of(index), count(index, "record"), count(index, "daily")) == (None, 0, 0)


def test_times_of_many_records_are_told_by_few_rows(index: sqlite3.Connection) -> None:
    place = None
    for start in range(0, 60, 6):
        place = write(index, batch(place, *range(start, start + 6)))
    assert index.execute("SELECT * FROM span").fetchall() == [(0, 59, 0, 59)]


def test_another_layout_is_no_place(index: sqlite3.Connection) -> None:
    write(index, batch(None, 0))
    index.execute("UPDATE place SET layout = 1")
    assert place_of(index) is None
