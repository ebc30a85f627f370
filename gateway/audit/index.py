"""A search index beside the log: numbers, times, names and codes of records, never text of a prompt or an answer.

It is a cache. The log does not know it, nothing is proved with it, and it may be deleted at any time: what it lacks is
read from the log before each search, and an index that does not fit the log (another origin, rewritten segments, an
older layout) is made anew. What a search shows is read from the log itself. A first build that was interrupted goes on
where its last batch ended; memory stays at one batch, however long the log is.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from gateway.audit.index_fields import indexed
from gateway.audit.index_store import Batch, Line, Overtaken, Place, begin_anew, connect, finish, place_of, write
from gateway.audit.merkle import leaf_hash
from gateway.audit.packed import open_stored
from gateway.audit.segments import LONGEST, Segment, claimed_end, list_segments, raw_lines, segment_path

BATCH: Final = 20_000
"""Records between two commits of a first build; an interrupted one goes on where it was."""
_LET_PASS_S: Final = 0.2
"""Pause before looking again when another process is at the same work."""

Told = Callable[[int], None]
"""Is called with the number of records that were read, after each batch of a build."""


def open_index(path: Path, directory: Path, told: Told | None = None, batch: int = BATCH) -> sqlite3.Connection:
    """The index, brought up to date with the log. Raises OSError, or sqlite3.Error when the file cannot be used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect(str(path))
    try:
        path.chmod(0o600)
        while not _is_caught_up(connection, directory, told, batch):
            time.sleep(_LET_PASS_S)
        finish(connection)
    # Whoever gets no connection cannot close it, whatever the reason.
    except BaseException:
        connection.close()
        raise
    return connection


def _is_caught_up(connection: sqlite3.Connection, directory: Path, told: Told | None, batch: int) -> bool:
    """Read what is missing; False if another process did so meanwhile, and it is worth looking again."""
    try:
        place = place_of(connection)
        if place is None or not _fits(place, directory) or _is_given_out_again(place, directory):
            begin_anew(connection, place)
            place = None
        _catch_up(connection, directory, place, told, batch)
    except Overtaken:
        return False
    return True


def _fits(place: Place, directory: Path) -> bool:
    """Whether the last record that was read is still where it was, with the same bytes."""
    try:
        return bool(leaf_hash(read_line(directory, place.segment, place.offset)) == place.leaf)
    except OSError:
        return False


def _is_given_out_again(place: Place, directory: Path) -> bool:
    """Whether the numbers go on elsewhere: a segment was lost, and what stood under them before does not count."""
    following = next(_lines_after(directory, place), None)
    item = indexed(_parsed(following.raw)) if following is not None else None
    return item is not None and item.seq != place.next


def _catch_up(
    connection: sqlite3.Connection, directory: Path, place: Place | None, told: Told | None, most: int
) -> None:
    batch = Batch(place)
    for line in _lines_after(directory, place):
        batch.add(line, indexed(_parsed(line.raw)))
        if batch.lines == most:
            batch = Batch(_write(connection, batch, told))
    if batch.lines:
        _write(connection, batch, told)


def _write(connection: sqlite3.Connection, batch: Batch, told: Told | None) -> Place:
    place = write(connection, batch)
    if told is not None:
        told(place.next)
    return place


def _lines_after(directory: Path, place: Place | None) -> Iterator[Line]:
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


def read_line(directory: Path, segment: int, offset: int) -> bytes:
    """The stored line at a place the index names; OSError if there is none."""
    path = segment_path(directory, segment)
    with open_stored(path) as file:
        file.seek(offset)
        raw, ended, _ = file.read(LONGEST).partition(b"\n")
    if not ended:
        raise OSError(0, "no complete line at that place", str(path))
    return raw
