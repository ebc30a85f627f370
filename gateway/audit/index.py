"""A search index beside the log: numbers, times, names and codes of records, never text of a prompt or an answer.

It is a cache. The log does not know it, nothing is proved with it, and it may be deleted at any time: what it lacks is
read from the log before each search, and an index that does not fit the log (another origin, rewritten segments, an
older layout) is made anew. What a search shows is read from the log itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.audit.merkle import leaf_hash
from gateway.audit.segments import Segment, claimed_end, list_segments, raw_lines

LAYOUT: Final = 1
_BATCH: Final = 20_000
"""Records between two commits of a first build; an interrupted one goes on where it was."""
_WORDS: Final = "unicode61 tokenchars '-_/.:@'"
"""Names such as `no-phi`, `acme/front-1` and `chat:write` are one word each."""

_SCHEMA: Final = f"""
CREATE TABLE place(layout INTEGER, origin TEXT, next INTEGER, segment INTEGER, offset INTEGER, leaf BLOB);
CREATE TABLE record(
    seq INTEGER PRIMARY KEY, ts INTEGER, segment INTEGER, offset INTEGER, type TEXT, req TEXT,
    tenant TEXT, app TEXT, actor TEXT, model TEXT, action TEXT, code TEXT, policy TEXT
);
CREATE TABLE score(detector TEXT, ppm INTEGER, seq INTEGER, PRIMARY KEY(detector, ppm, seq)) WITHOUT ROWID;
CREATE INDEX by_ts ON record(ts);
CREATE INDEX by_req ON record(req) WHERE req IS NOT NULL;
CREATE INDEX by_tenant ON record(tenant, action, seq) WHERE tenant IS NOT NULL;
CREATE INDEX by_code ON record(code, seq) WHERE code IS NOT NULL;
CREATE INDEX by_action ON record(action, seq) WHERE action IS NOT NULL AND action <> 'allow';
CREATE INDEX by_type ON record(type, seq);
CREATE VIRTUAL TABLE word USING fts5(words, content='', columnsize=0, tokenize="{_WORDS}");
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A stored line and where it is."""

    segment: int
    offset: int
    raw: bytes


def open_index(path: Path, directory: Path) -> sqlite3.Connection:
    """The index, brought up to date with the log. Raises OSError, or sqlite3.Error when the file cannot be used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        path.chmod(0o600)
        place = _place(connection)
        if place is None or not _fits(place, directory):
            _begin_anew(connection)
            place = None
        _catch_up(connection, directory, place)
    except BaseException:
        connection.close()
        raise
    return connection


def _place(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
    """Up to where the log was read; None for a new file or one of another layout."""
    with closing(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'place'")) as found:
        if found.fetchone() is None:
            return None
    with closing(connection.execute("SELECT layout, next, segment, offset, leaf FROM place")) as rows:
        row = rows.fetchone()
    return tuple(row[1:]) if row is not None and row[0] == LAYOUT else None


def _fits(place: tuple[Any, ...], directory: Path) -> bool:
    """Whether the last record that was read is still where it was, with the same bytes."""
    _, segment, offset, leaf = place
    try:
        return bool(leaf_hash(read_line(directory, segment, offset)) == leaf)
    except OSError:
        return False


def _begin_anew(connection: sqlite3.Connection) -> None:
    with closing(connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")) as rows:
        names = {name for (name,) in rows.fetchall()}
    for name in ("word", "score", "record", "place"):
        if name in names:
            connection.execute(f"DROP TABLE {name}")
    connection.executescript(_SCHEMA)


def _catch_up(connection: sqlite3.Connection, directory: Path, place: tuple[Any, ...] | None) -> None:
    batch: list[tuple[Line, dict[str, Any]]] = []
    for line in _lines_after(directory, place):
        record = _parsed(line.raw)
        if place is not None and not batch and _seq(record) != place[0]:
            # Numbers were given out again after a segment was lost: what stood under them before does not count.
            _begin_anew(connection)
            return _catch_up(connection, directory, None)
        batch.append((line, record))
        if len(batch) == _BATCH:
            _write(connection, batch)
            batch, place = [], None
    if batch:
        _write(connection, batch)
    return None


def _lines_after(directory: Path, place: tuple[Any, ...] | None) -> Iterator[Line]:
    """Complete lines that count and were not read yet."""
    segments = list_segments(directory)
    _, last, offset, _ = place if place is not None else (0, -1, 0, b"")
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
    """The record, or an empty one: an unreadable line is `audit verify`'s business, and is shown as it is."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _write(connection: sqlite3.Connection, batch: list[tuple[Line, dict[str, Any]]]) -> None:
    with connection:
        connection.executemany(
            "INSERT OR REPLACE INTO record VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [_row(line, record) for line, record in batch],
        )
        connection.executemany(
            "INSERT INTO word(rowid, words) VALUES (?, ?)",
            [(_seq(record), " ".join(words_of(record))) for _, record in batch if _seq(record) >= 0],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO score VALUES (?,?,?)",
            [(detector, ppm, _seq(record)) for _, record in batch for detector, ppm in _scores(record)],
        )
        line, record = batch[-1]
        connection.execute("DELETE FROM place")
        values = (LAYOUT, _text(record.get("origin")), _seq(record) + 1, line.segment, line.offset, leaf_hash(line.raw))
        connection.execute("INSERT INTO place VALUES (?,?,?,?,?,?)", values)


def _row(line: Line, record: dict[str, Any]) -> tuple[Any, ...]:
    decision, target, policy, actor = (_object(record.get(key)) for key in ("decision", "target", "policy", "actor"))
    ts = str(record.get("ts", ""))
    return (
        _seq(record) if _seq(record) >= 0 else None,
        int(ts) if ts.isascii() and ts.isdigit() and len(ts) < 19 + 1 else 0,
        line.segment,
        line.offset,
        _text(record.get("type")),
        _text(record.get("req")),
        _text(record.get("tenant")),
        _text(record.get("app")),
        _text(actor.get("key_id")),
        _text(target.get("model_req")),
        _text(decision.get("action")),
        _text(decision.get("code") or _object(record.get("err")).get("code")),
        _text(policy.get("name")),
    )


def words_of(record: dict[str, Any]) -> Iterable[str]:
    """What free words of a search find: names and codes that stand in the record, each once."""
    decision = _object(record.get("decision"))
    found: dict[str, None] = {}
    for key in ("type", "tenant", "app", "stage"):
        found[str(record.get(key, ""))] = None
    for part in ("target", "policy", "actor", "err"):
        for value in _object(record.get(part)).values():
            if isinstance(value, str):
                found[value] = None
    for rule in _list(decision.get("rules")):
        found[str(rule)] = None
    for key, of in (("flags", "rule"), ("shadow", "rule"), ("errors", "detector"), ("errors", "kind")):
        for item in _list(decision.get(key)):
            found[str(_object(item).get(of, ""))] = None
    for key in ("action", "outcome", "code"):
        found[str(decision.get(key) or "")] = None
    for guard in map(_object, _list(record.get("guards"))):
        for value in (guard.get("name"), guard.get("use"), *_categories(guard)):
            found[str(value or "")] = None
    return [word for word in found if word]


def _categories(guard: dict[str, Any]) -> Iterator[str]:
    """Hazard codes whose score reached the detector's threshold, and error kinds."""
    limit = guard.get("threshold_ppm")
    for row in map(_object, _list(guard.get("rows"))):
        if row.get("error"):
            yield str(row["error"])
        for entry in _list(row.get("cats")):
            code, score = entry if isinstance(entry, list) and len(entry) == 2 else ("", None)
            if isinstance(limit, int) and type(score) is int and score >= limit:
                yield str(code)


def _scores(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The highest score of each detector in a record, where it found anything."""
    for guard in map(_object, _list(record.get("guards"))):
        scores = [row.get("score_ppm") for row in map(_object, _list(guard.get("rows")))]
        best = max((score for score in scores if type(score) is int), default=0)
        if best > 0 and _seq(record) >= 0:
            yield str(guard.get("name", "")), best


def read_line(directory: Path, segment: int, offset: int) -> bytes:
    """The stored line at a place the index names; OSError if there is none."""
    path = directory / "seg" / f"{segment:016d}.jsonl"
    raw = next(raw_lines(path, offset), b"")
    if not raw.endswith(b"\n"):
        raise OSError(0, "no complete line at that place", str(path))
    return raw[:-1]


def _seq(record: dict[str, Any]) -> int:
    seq = record.get("seq")
    return seq if type(seq) is int and 0 <= seq < 2**53 else -1


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
