"""The tables of the search index, and how a batch of records gets into them: whole, once, and in the order of the log.

Several processes may bring one index up to date at a time (a command, and the gateway for an auditor). Each batch says
after which place of the log it comes; if another process has been there, nothing is written and Overtaken is raised, so
that no record is counted twice.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from gateway.audit.index_fields import COLUMNS, EXACT, Indexed, day_of, tallied
from gateway.audit.merkle import leaf_hash
from gateway.transaction import immediate

LAYOUT: Final = 2
_PATIENCE_S: Final = 60.0
"""For another process that writes: a first build makes one index of the database in one go at its end."""
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
class Place:
    """Up to where the log was read."""

    next: int
    segment: int
    offset: int
    leaf: bytes


class Overtaken(Exception):
    """Another process has written to the index since this one looked: look again and go on from there."""


def connect(path: str) -> sqlite3.Connection:
    """A connection whose transactions are explicit."""
    connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cache_size=-65536")
    return connection


def place_of(connection: sqlite3.Connection) -> Place | None:
    """None for a new file or one of another layout."""
    with closing(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'place'")) as found:
        if found.fetchone() is None:
            return None
    with closing(connection.execute("SELECT * FROM place")) as rows:
        row = rows.fetchone()
    return Place(*row[1:]) if row is not None and row[0] == LAYOUT else None


def begin_anew(connection: sqlite3.Connection, seen: Place | None) -> None:
    """Empty tables, unless another process has written since `seen`: then Overtaken."""
    with _writing(connection, seen):
        for name in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)


def finish(connection: sqlite3.Connection) -> None:
    """What is quicker to make once all records are there."""
    connection.execute(_AFTER_THE_FIRST_BUILD)


class Batch:
    """Rows between two commits, that follow a place of the log."""

    def __init__(self, after: Place | None) -> None:
        self.after = after
        self.lines, self.next = 0, after.next if after is not None else 0
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


def write(connection: sqlite3.Connection, batch: Batch) -> Place:
    """Write all of a batch; the place behind it. Raises Overtaken."""
    place = Place(batch.next, batch.last.segment, batch.last.offset, leaf_hash(batch.last.raw))
    with _writing(connection, batch.after):
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
        values = (LAYOUT, place.next, place.segment, place.offset, place.leaf)
        connection.execute("INSERT INTO place VALUES (?,?,?,?,?)", values)
    return place


@contextmanager
def _writing(connection: sqlite3.Connection, seen: Place | None) -> Iterator[None]:
    """A transaction that begins where the index is as it was seen."""
    with immediate(connection):
        if place_of(connection) != seen:
            raise Overtaken
        yield


def _widen_spans(connection: sqlite3.Connection, seqs: list[int], times: list[int]) -> None:
    """Add a row that says when these records were written, or widen the last one while it has few records."""
    first, last, low, high = min(seqs), max(seqs), min(times), max(times)
    with closing(connection.execute("SELECT * FROM span ORDER BY first DESC LIMIT 1")) as rows:
        before = rows.fetchone()
    if before is not None and before[1] - before[0] < _SPAN:
        first, last, low, high = before[0], max(last, before[1]), min(low, before[2]), max(high, before[3])
    connection.execute("INSERT OR REPLACE INTO span VALUES (?,?,?,?)", (first, last, low, high))
