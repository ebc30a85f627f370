"""Questions to the index: which records, and how many of each kind. Answers are places; records are read from the log.

Every filter is a bound parameter, and words are quoted, so no input is ever part of a query's text. All that has a
heading in the full-text index is looked for there, where the newest come first without the others being read, and then
compared with the record's own columns: the text index knows neither upper case nor what stood between two words.
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
from gateway.audit.index_fields import BUCKET_PPM, BUCKETS, EXACT, day_of, score_word, tokens

FILTERS: Final = (*EXACT, "req", "rule")
"""What a filter of the same name compares."""
GROUPS: Final = (*EXACT, "rule", "detector", "day")
_DAY_NS: Final = 86_400 * 10**9
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_RULE: Final = "EXISTS (SELECT 1 FROM rule WHERE rule.seq = record.seq AND rule.rule = ?)"
_SCORE: Final = "EXISTS (SELECT 1 FROM score WHERE score.seq = record.seq AND detector = ? AND ppm >= ?)"
_GROUPED: Final = {
    "rule": ("rule.rule", "JOIN rule ON rule.seq = record.seq"),
    "detector": ("score.detector", "JOIN score ON score.seq = record.seq"),
    "day": ("date(record.ts / 1000000000, 'unixepoch')", ""),
} | {name: (f"record.{name}", "") for name in EXACT}


@dataclass(frozen=True, slots=True)
class Query:
    """Filters that must all hold."""

    words: tuple[str, ...] = ()
    """Names and codes anywhere in the record; `S1*` finds all that begin so."""
    exact: tuple[tuple[str, str], ...] = ()
    """(one of FILTERS, value)."""
    since_ns: int | None = None
    until_ns: int | None = None
    detector: str | None = None
    least_ppm: int = 1
    """Of `detector`: the lowest score that counts."""

    @property
    def is_of_time_only(self) -> bool:
        return not (self.words or self.exact or self.detector)

    def whole_days(self) -> tuple[int | None, int | None]:
        """The first bound at or after `since` and the last at or before `until` that begin a UTC day."""
        since, until = self.since_ns, self.until_ns
        return (
            None if since is None else -(-since // _DAY_NS) * _DAY_NS,
            None if until is None else until // _DAY_NS * _DAY_NS,
        )

    def match(self) -> str:
        """What the full-text index is asked; empty where it cannot help."""
        asked = [quoted for word in self.words for quoted in _quoted(word)]
        for heading, value in self.exact:
            if heading != "req":
                asked += [f'{heading} : "{word}"' for word in tokens(value)]
        if self.detector is not None:
            buckets = range(min(self.least_ppm // BUCKET_PPM, BUCKETS - 1), BUCKETS)
            either = " OR ".join(f'"{score_word(self.detector, bucket)}"' for bucket in buckets)
            asked.append(f"score : ({either})")
        return " AND ".join(asked)

    def conditions(self) -> tuple[list[str], list[object]]:
        """On the record itself, with their parameters."""
        parts, values = list[str](), list[object]()
        for name, value in self.exact:
            parts.append(_RULE if name == "rule" else f"record.{name} = ?")
            values.append(value)
        for name, bound in ((">=", self.since_ns), ("<", self.until_ns)):
            if bound is not None:
                parts.append(f"record.ts {name} ?")
                values.append(bound)
        if self.detector is not None:
            parts.append(_SCORE)
            values += (self.detector, self.least_ppm)
        if any(not tokens(word) for word in self.words):
            parts.append("0")  # a word without a letter or digit stands in no record
        return parts, values


def _quoted(word: str) -> list[str]:
    """A word as FTS5 takes it literally; a star at its end stays outside the quotes and means any ending."""
    found = [f'"{part}"' for part in tokens(word)]
    if found and word.endswith("*"):
        found[-1] += " *"
    return found


def _from(index: sqlite3.Connection, query: Query, joined: str = "") -> tuple[str, list[object]]:
    """FROM and WHERE, read through the heading that leaves the least to look at."""
    parts, values = query.conditions()
    match = query.match()
    if match and any(name == "req" for name, _ in query.exact):
        parts.append("EXISTS (SELECT 1 FROM word WHERE word MATCH ? AND word.rowid = record.seq)")
        return f"FROM record {joined} WHERE {' AND '.join(parts)}", [*values, match]
    column = "record.seq"
    source, given = f"FROM record {joined}", list[object]()
    if match:
        # A cross join keeps the order of reading: text index first, newest first, as far as anybody asks.
        source, column = f"FROM word CROSS JOIN record ON record.seq = word.rowid {joined}", "word.rowid"
        parts, given = ["word MATCH ?", *parts], [match]
    if query.since_ns is not None or query.until_ns is not None:
        first, last = _span(index, query)
        parts.append(f"{column} BETWEEN {first} AND {last}")
    return f"{source} WHERE {' AND '.join(parts or ['1'])}", given + values


def _span(index: sqlite3.Connection, query: Query) -> tuple[int, int]:
    """Between which numbers every record of the time lies. Clocks can be set: the time itself is compared as well."""
    low = query.since_ns if query.since_ns is not None else -1
    high = query.until_ns if query.until_ns is not None else 2**63 - 1
    sql = "SELECT min(first), max(last) FROM span WHERE high >= ? AND low < ?"
    with closing(index.execute(sql, (low, high))) as rows:
        first, last = rows.fetchone()
    return (0, -1) if first is None else (int(first), int(last))


def find(index: sqlite3.Connection, query: Query, limit: int) -> list[tuple[int, int]]:
    """(segment, offset) of the newest records that match, oldest first."""
    source, values = _from(index, query)
    order = "word.rowid" if source.startswith("FROM word") else "record.seq"
    sql = f"SELECT segment, offset {source} ORDER BY {order} DESC LIMIT ?"
    with closing(index.execute(sql, [*values, limit])) as rows:
        return [(int(segment), int(offset)) for segment, offset in rows.fetchall()][::-1]


def each(index: sqlite3.Connection, query: Query) -> Iterator[tuple[int, int]]:
    """(segment, offset) of every record that matches, oldest first, as many at a time as are asked for."""
    source, values = _from(index, query)
    order = "word.rowid" if source.startswith("FROM word") else "record.seq"
    with closing(index.execute(f"SELECT segment, offset {source} ORDER BY {order}", values)) as rows:
        yield from ((int(segment), int(offset)) for segment, offset in rows)


def edge(index: sqlite3.Connection, query: Query, newest: bool) -> int | None:
    """When the first or the last record that matches was written, in nanoseconds; None if none does."""
    source, values = _from(index, query)
    column = "word.rowid" if source.startswith("FROM word") else "record.seq"
    order = "DESC" if newest else "ASC"
    with closing(index.execute(f"SELECT record.ts {source} ORDER BY {column} {order} LIMIT 1", values)) as rows:
        row = rows.fetchone()
    return None if row is None else int(row[0])


def count(index: sqlite3.Connection, query: Query, most: int | None = None) -> int:
    """How many records match; counting ends at `most`."""
    source, values = _from(index, query)
    sql = f"SELECT count(*) FROM (SELECT 1 {source} LIMIT ?)"  # noqa: S608 - names only
    with closing(index.execute(sql, [*values, -1 if most is None else most])) as rows:
        return int(rows.fetchone()[0])


def tally(index: sqlite3.Connection, query: Query, group: str) -> Iterator[tuple[str, int]]:
    """(value, how many records), most first; days in their order."""
    totals: dict[str, int] = {}
    for day, value, number in daily(index, query, group):
        key = day if group == "day" else value
        totals[key] = totals.get(key, 0) + number
    yield from sorted(totals.items(), key=lambda row: row[0] if group == "day" else (-row[1], row[0]))


def daily(index: sqlite3.Connection, query: Query, group: str) -> Iterator[tuple[str, str, int]]:
    """(UTC day, value, how many records), by day, then most first.

    Days are counted while the index is made. Where nothing but a time is asked for, only what is left of its first and
    last day is counted now.
    """
    if group not in GROUPS:
        raise QueryError(f"cannot count by `{group}`, expected one of {', '.join(GROUPS)}")
    if not query.is_of_time_only:
        yield from _counted_now(index, query, group)
        return
    since, until = query.whole_days()
    if since is not None and until is not None and since > until:
        yield from _counted_now(index, query, group)  # within one day
        return
    if since != query.since_ns:
        yield from _counted_now(index, Query(since_ns=query.since_ns, until_ns=since), group)
    yield from _counted_before(index, since, until, group)
    if until != query.until_ns:
        yield from _counted_now(index, Query(since_ns=until, until_ns=query.until_ns), group)


def _counted_before(
    index: sqlite3.Connection, since_ns: int | None, until_ns: int | None, group: str
) -> Iterator[tuple[str, str, int]]:
    sql = "SELECT day, value, n FROM daily WHERE heading = ? AND day >= ? AND day < ? ORDER BY 1, 3 DESC, 2"
    since = day_of(since_ns) if since_ns is not None else ""
    until = day_of(until_ns) if until_ns is not None else "~"
    with closing(index.execute(sql, [group, since, until])) as rows:
        yield from ((str(day), str(value), int(number)) for day, value, number in rows)


def _counted_now(index: sqlite3.Connection, query: Query, group: str) -> Iterator[tuple[str, str, int]]:
    column, join = _GROUPED[group]
    source, values = _from(index, query, join)
    day = _GROUPED["day"][0]
    sql = f"SELECT {day}, {column}, count(*) {source} AND {column} IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    with closing(index.execute(sql, values)) as rows:
        yield from ((str(day), str(value), int(number)) for day, value, number in rows)


_NO_TIME = 2**63
"""What the index cannot hold: the year 2262, and as long before 1970."""


def moment(text: str, now_ns: int) -> int:
    """A point in time as people write it: `2026-11-20`, `2026-11-20T10:30:00Z`, or `36h` for so long ago."""
    ago = _AGO.fullmatch(text)
    try:
        found = now_ns - int(ago[1]) * _UNITS[ago[2]] * 10**9 if ago is not None else _date_ns(text)
    except (ValueError, OverflowError):
        found = _NO_TIME
    if abs(found) >= _NO_TIME:
        raise QueryError("expected a time such as `2026-11-20`, `2026-11-20T10:30:00Z` or `36h`")
    return found


def _date_ns(text: str) -> int:
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 10**9
