"""Questions to the index: which records, and how many of each kind. Answers are places; records are read from the log.

Every filter is a bound parameter, and free words are quoted, so no input is ever part of a query's text.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.audit.errors import QueryError

EXACT: Final = ("type", "req", "tenant", "app", "actor", "model", "action", "code", "policy")
"""Columns that a filter of the same name compares."""
GROUPS: Final = (*EXACT, "day", "detector")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")


@dataclass(frozen=True, slots=True)
class Query:
    """Filters that must all hold."""

    words: tuple[str, ...] = ()
    """Names and codes anywhere in the record; `S1*` finds all that begin so."""
    exact: tuple[tuple[str, str], ...] = ()
    """(column of EXACT, value)."""
    since_ns: int | None = None
    until_ns: int | None = None
    detector: str | None = None
    least_ppm: int = 1
    """Of `detector`: the lowest score that counts."""

    def where(self) -> tuple[str, list[object]]:
        """The condition and its parameters."""
        parts, values = ["1"], list[object]()
        for column, value in self.exact:
            parts.append(f"{column} = ?")
            values.append(value)
        for name, bound in ((">=", self.since_ns), ("<", self.until_ns)):
            if bound is not None:
                parts.append(f"ts {name} ?")
                values.append(bound)
        if self.words:
            parts.append("seq IN (SELECT rowid FROM word WHERE word MATCH ?)")
            values.append(" AND ".join(map(_quoted, self.words)))
        if self.detector is not None:
            parts.append("seq IN (SELECT seq FROM score WHERE detector = ? AND ppm >= ?)")
            values += (self.detector, self.least_ppm)
        return " AND ".join(parts), values


def _quoted(word: str) -> str:
    """A word as FTS5 takes it literally; a star at the end stays outside the quotes and means any ending."""
    stem, star = (word[:-1], " *") if word.endswith("*") and len(word) > 1 else (word, "")
    quoted = stem.replace('"', '""')
    return f'"{quoted}"{star}'


def find(index: sqlite3.Connection, query: Query, limit: int) -> list[tuple[int, int]]:
    """(segment, offset) of the newest records that match, oldest first."""
    where, values = query.where()
    sql = f"SELECT segment, offset FROM record WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - names only
    with closing(index.execute(sql, [*values, limit])) as rows:
        return [(int(segment), int(offset)) for segment, offset in rows.fetchall()][::-1]


def count(index: sqlite3.Connection, query: Query) -> int:
    where, values = query.where()
    with closing(index.execute(f"SELECT count(*) FROM record WHERE {where}", values)) as rows:  # noqa: S608 - names only
        return int(rows.fetchone()[0])


def tally(index: sqlite3.Connection, query: Query, group: str) -> Iterator[tuple[str, int]]:
    """(value, how many records), most first."""
    where, values = query.where()
    if group == "detector":
        sql = f"SELECT detector, count(*) FROM score WHERE seq IN (SELECT seq FROM record WHERE {where})"  # noqa: S608
    elif group == "day":
        sql = f"SELECT date(ts / 1000000000, 'unixepoch') AS day, count(*) FROM record WHERE {where}"  # noqa: S608
    elif group in EXACT:
        sql = f"SELECT {group}, count(*) FROM record WHERE {group} IS NOT NULL AND {where}"  # noqa: S608
    else:
        raise QueryError(f"cannot count by `{group}`, expected one of {', '.join(GROUPS)}")
    order = "1" if group == "day" else "2 DESC, 1"
    with closing(index.execute(f"{sql} GROUP BY 1 ORDER BY {order}", values)) as rows:
        yield from ((str(value), int(number)) for value, number in rows)


def moment(text: str, now_ns: int) -> int:
    """A point in time as people write it: `2026-11-20`, `2026-11-20T10:30:00Z`, or `36h` for so long ago."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now_ns - int(ago[1]) * _UNITS[ago[2]] * 10**9
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        told = "expected a time such as `2026-11-20`, `2026-11-20T10:30:00Z` or `36h`"
        raise QueryError(told) from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 10**9
