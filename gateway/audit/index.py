"""A search index beside the log: numbers, times, names and codes of records, never text of a prompt or an answer.

It is a cache. The log does not know it, nothing is proved with it, and it may be deleted at any time: what it lacks is
read from the log before each search, and an index that does not fit the log (another origin, rewritten segments, an
older layout) is made anew. What a search shows is read from the log itself. A first build that was interrupted goes on
where its last batch ended; memory stays at one batch, however long the log is.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.audit.index_fields import COLUMNS, EXACT, Indexed, day_of, indexed, tallied
from gateway.audit.merkle import leaf_hash
from gateway.audit.segments import LONGEST, Segment, claimed_end, list_segments, raw_lines

LAYOUT: Final = 2
_BATCH: Final = 20_000
"""Records between two commits of a first build; an interrupted one goes on where it was."""
_PATIENCE_S: Final = 30.0
"""For another command that brings the same index up to date."""
_SPAN: Final = 10_000
"""Records, at least, for which one row says the earliest and latest time: a time is found through a few rows."""
_TOKENIZE: Final = "ascii tokenchars '-_/.:@'"
"""Names such as `no-phi`, `acme/front-1` and `chat:write` are one word each; see index_fields.tokens."""
_TABLES: Final = ("word", "score", "rule", "record", "span", "daily", "place")
_SCHEMA: Final = """
CREATE TABLE place(layout INTEGER, next INTEGER, segment INTEGER, offset INTEGER, leaf BLOB);
CREATE TABLE record(seq INTEGER PRIMARY KEY, ts INTEGER, segment INTEGER, offset INTEGER, req TEXT, {exact});
CREATE TABLE score(seq INTEGER, detector TEXT, ppm INTEGER, PRIMARY KEY(seq, detector)) WITHOUT ROWID;
CREATE TABLE rule(seq INTEGER, rule TEXT, PRIMARY KEY(seq, rule)) WITHOUT ROWID;
CREATE TABLE span(first INTEGER PRIMARY KEY, last INTEGER, low INTEGER, high INTEGER);
CREATE TABLE daily(heading TEXT, value TEXT, day TEXT, n INTEGER, PRIMARY KEY(heading, value, day)) WITHOUT ROWID;
CREATE VIRTUAL TABLE word USING fts5({words}, content='', columnsize=0, detail=column, tokenize="{tokenize}");
INSERT INTO word(word, rank) VALUES ('hashsize', 33554432);
""".format(exact=", ".join(EXACT), words=", ".join(COLUMNS), tokenize=_TOKENIZE)
_AFTER_THE_FIRST_BUILD: Final = "CREATE INDEX IF NOT EXISTS by_req ON record(req) WHERE req IS NOT NULL"
_INSERT_RECORD: Final = "INSERT OR REPLACE INTO record VALUES ({})".format(",".join("?" * (5 + len(EXACT))))  # noqa: S608 - names only
_INSERT_WORDS: Final = "INSERT INTO word(rowid, {}) VALUES ({})".format(  # noqa: S608 - names only
    ", ".join(COLUMNS), ",".join("?" * (1 + len(COLUMNS)))
)


@dataclass(frozen=True, slots=True)
class Line:
    """A stored line and where it is."""

    segment: int
    offset: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    """Up to where the log was read."""

    next: int
    segment: int
    offset: int
    leaf: bytes


Told = Callable[[int], None]
"""Is called with the number of records that were read, after each batch of a build."""


def open_index(path: Path, directory: Path, told: Told | None = None) -> sqlite3.Connection:
    """The index, brought up to date with the log. Raises OSError, or sqlite3.Error when the file cannot be used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_PATIENCE_S)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cache_size=-65536")
        path.chmod(0o600)
        place = _place(connection)
        if place is None or not _fits(place, directory):
            _begin_anew(connection)
            place = None
        _catch_up(connection, directory, place, told)
        connection.execute(_AFTER_THE_FIRST_BUILD)
    except BaseException:
        connection.close()
        raise
    return connection


def _place(connection: sqlite3.Connection) -> _Place | None:
    """None for a new file or one of another layout."""
    with closing(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'place'")) as found:
        if found.fetchone() is None:
            return None
    with closing(connection.execute("SELECT * FROM place")) as rows:
        row = rows.fetchone()
    return _Place(*row[1:]) if row is not None and row[0] == LAYOUT else None


def _fits(place: _Place, directory: Path) -> bool:
    """Whether the last record that was read is still where it was, with the same bytes."""
    try:
        return bool(leaf_hash(read_line(directory, place.segment, place.offset)) == place.leaf)
    except OSError:
        return False


def _begin_anew(connection: sqlite3.Connection) -> None:
    for name in _TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    connection.executescript(_SCHEMA)


def _catch_up(connection: sqlite3.Connection, directory: Path, place: _Place | None, told: Told | None) -> None:
    batch = _Batch(place.next if place else 0)
    first = place is not None
    for line in _lines_after(directory, place):
        item = indexed(_parsed(line.raw))
        if first and place is not None and item is not None and item.seq != place.next:
            # Numbers were given out again after a segment was lost: what stood under them before does not count.
            _begin_anew(connection)
            return _catch_up(connection, directory, None, told)
        first = False
        batch.add(line, item)
        if batch.lines == _BATCH:
            _write(connection, batch, told)
            batch = _Batch(batch.next)
    if batch.lines:
        _write(connection, batch, told)
    return None


def _lines_after(directory: Path, place: _Place | None) -> Iterator[Line]:
    """Complete lines that count and were not read yet."""
    segments = list_segments(directory)
    last, offset = (place.segment, place.offset) if place is not None else (-1, 0)
    for segment in segments:
        if segment.first < last:
            continue
        start = offset if segment.first == last else 0
        lines = _lines_of(segment, start, claimed_end(segment, segments))
        if segment.first == last:
            next(lines, None)
        yield from lines


def _lines_of(segment: Segment, start: int, stop: int | None) -> Iterator[Line]:
    at = start
    for raw in raw_lines(segment.path, start, stop):
        if raw.endswith(b"\n"):
            yield Line(segment.first, at, raw[:-1])
        at += len(raw)


def _parsed(raw: bytes) -> dict[str, Any]:
    """The record, or an empty one: an unreadable line is `audit verify`'s business."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


class _Batch:
    """Rows between two commits."""

    def __init__(self, following: int) -> None:
        self.lines, self.next = 0, following
        self.last = Line(0, 0, b"")
        self.records: list[tuple[Any, ...]] = []
        self.words: list[tuple[Any, ...]] = []
        self.scores: list[tuple[int, str, int]] = []
        self.rules: list[tuple[int, str]] = []
        self.daily: Counter[tuple[str, str, str]] = Counter()

    def add(self, line: Line, item: Indexed | None) -> None:
        self.lines, self.last = self.lines + 1, line
        if item is None:
            return
        self.next = item.seq + 1
        self.records.append((item.seq, item.ts, line.segment, line.offset, item.req, *item.exact))
        self.words.append((item.seq, *item.words()))
        self.scores.extend((item.seq, detector, ppm) for detector, ppm in item.scores)
        self.rules.extend((item.seq, rule) for rule in item.rules)
        day = day_of(item.ts)
        self.daily.update((heading, value, day) for heading, value in tallied(item))


def _write(connection: sqlite3.Connection, batch: _Batch, told: Told | None) -> None:
    with connection:
        connection.executemany(_INSERT_RECORD, batch.records)
        connection.executemany(_INSERT_WORDS, batch.words)
        connection.executemany("INSERT OR IGNORE INTO score VALUES (?,?,?)", batch.scores)
        connection.executemany("INSERT OR IGNORE INTO rule VALUES (?,?)", batch.rules)
        connection.executemany(
            "INSERT INTO daily VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(*key, number) for key, number in batch.daily.items()],
        )
        if batch.records:
            _widen_spans(connection, [row[0] for row in batch.records], [row[1] for row in batch.records])
        connection.execute("DELETE FROM place")
        values = (LAYOUT, batch.next, batch.last.segment, batch.last.offset, leaf_hash(batch.last.raw))
        connection.execute("INSERT INTO place VALUES (?,?,?,?,?)", values)
    if told is not None:
        told(batch.next)


def _widen_spans(connection: sqlite3.Connection, seqs: list[int], times: list[int]) -> None:
    """Add a row that says when these records were written, or widen the last one while it has few records."""
    first, last, low, high = min(seqs), max(seqs), min(times), max(times)
    with closing(connection.execute("SELECT * FROM span ORDER BY first DESC LIMIT 1")) as rows:
        before = rows.fetchone()
    if before is not None and before[1] - before[0] < _SPAN:
        first, last, low, high = before[0], max(last, before[1]), min(low, before[2]), max(high, before[3])
    connection.execute("INSERT OR REPLACE INTO span VALUES (?,?,?,?)", (first, last, low, high))


def read_line(directory: Path, segment: int, offset: int) -> bytes:
    """The stored line at a place the index names; OSError if there is none."""
    path = directory / "seg" / f"{segment:016d}.jsonl"
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw, ended, _ = os.pread(file, LONGEST, offset).partition(b"\n")
    finally:
        os.close(file)
    if not ended:
        raise OSError(0, "no complete line at that place", str(path))
    return raw
