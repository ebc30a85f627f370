"""Questions to the log by names, codes, times and scores; the oracle reads every record."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.errors import QueryError
from gateway.audit.index import open_index, read_line
from gateway.audit.index_fields import day_of, indexed, tallied
from gateway.audit.record import canonical, parse_line
from gateway.audit.search import Query, count, daily, each, find, moment, tally
from gateway.audit.segments import segment_path
from tests.gateway.audit.harness import opened, put_test_key

TENANTS, CODES, RULES = ("clinic", "bank"), ("hazard", "prompt_attack"), ("no-weapons", "no-phi")


def refused(number: int) -> dict[str, object]:
    code = CODES[number % 3 % 2]
    harm = {"name": "harm", "use": "h", "threshold_ppm": 500_000, "rows": [{"score_ppm": number * 10_000}]}
    return {
        "type": "request.refuse",
        "stage": "complete",
        "req": f"r{number}",
        "tenant": TENANTS[number % 2],
        "decision": {"action": "block", "rules": [RULES[number % 2]], "code": code},
        "guards": [harm] if number else [],
    }


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log")
    put_test_key(path)
    log = opened(path)
    for number in range(40):
        log.writer.write([refused(number)])
    log.close()
    return path


@pytest.fixture(scope="module")
def index(log: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_index(log / "index.sqlite", log / "log")) as index:
        yield index


def requests(log: Path, index: sqlite3.Connection, query: Query, limit: int = 100) -> list[str]:
    found = [parse_line(read_line(log / "log", *place)) for place in find(index, query, limit)]
    return [str(record.get("req")) for record in found]


@given(
    tenant=st.none() | st.sampled_from(TENANTS),
    code=st.none() | st.sampled_from(CODES),
    word=st.none() | st.sampled_from(RULES),
    rule=st.none() | st.sampled_from(RULES),
    least=st.none() | st.integers(1, 400_000),
)
@settings(max_examples=60, deadline=None)
def test_a_search_finds_exactly_what_reading_everything_finds(
    log: Path,
    index: sqlite3.Connection,
    tenant: str | None,
    code: str | None,
    word: str | None,
    rule: str | None,
    least: int | None,
) -> None:
    exact = tuple((name, value) for name, value in (("tenant", tenant), ("code", code), ("rule", rule)) if value)
    words, detector = (word,) if word else (), "harm" if least else None
    query = Query(words=words, exact=(("type", "request.refuse"), *exact), detector=detector, least_ppm=least or 1)
    expected = [
        f"r{n}"
        for n in range(40)
        if (tenant is None or TENANTS[n % 2] == tenant)
        and (code is None or CODES[n % 3 % 2] == code)
        and (word is None or RULES[n % 2] == word)
        and (rule is None or RULES[n % 2] == rule)
        and (least is None or n * 10_000 >= least)
    ]
    assert requests(log, index, query) == expected
    assert list(each(index, query)) == find(index, query, 100)
    assert count(index, query) == len(expected)
    assert count(index, query, most=3) == min(3, len(expected))
    assert sum(number for _, number in tally(index, query, "tenant")) == len(expected)


def test_the_newest_come_when_there_are_too_many_and_in_order(log: Path, index: sqlite3.Connection) -> None:
    assert requests(log, index, Query(exact=(("tenant", "bank"),)), limit=2) == ["r37", "r39"]


@pytest.mark.parametrize(
    "words",
    [('" OR 1=1 --',), ("no-weapons OR no-phi",), ("*",), ("NOT",), ("words:x",), ("'); DROP TABLE record; --",)],
)
def test_words_are_never_part_of_a_query(log: Path, index: sqlite3.Connection, words: tuple[str, ...]) -> None:
    assert requests(log, index, Query(words=words)) == []
    assert count(index, Query()) > 40


def test_a_star_means_any_ending(log: Path, index: sqlite3.Connection) -> None:
    assert len(requests(log, index, Query(words=("no-w*",)))) == 20


def test_times_bound_the_search(log: Path, index: sqlite3.Connection) -> None:
    place = find(index, Query(exact=(("req", "r20"),)), 1)[0]
    ts = int(str(parse_line(read_line(log / "log", *place))["ts"]))
    after, before = Query(since_ns=ts, exact=(("type", "request.refuse"),)), Query(until_ns=ts)
    assert requests(log, index, after)[0] == "r20"
    assert "r20" not in requests(log, index, before)


def test_counts_add_up(index: sqlite3.Connection) -> None:
    query = Query(exact=(("type", "request.refuse"),))
    assert dict(tally(index, query, "tenant")) == {"bank": 20, "clinic": 20}
    assert dict(tally(index, query, "code")) == {"hazard": 27, "prompt_attack": 13}
    assert dict(tally(index, query, "detector")) == {"harm": 39}
    assert sum(number for _, number in tally(index, query, "day")) == 40
    assert dict(tally(index, query, "rule")) == {"no-phi": 20, "no-weapons": 20}
    with pytest.raises(QueryError, match="cannot count by `shoe`"):
        list(tally(index, query, "shoe"))


DAY = 86_400 * 10**9
DAY_0 = 20_000 * DAY


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sqlite3.Connection, list[dict[str, object]]]]:
    """Three days of records, a few hours apart; only the index looks at them."""
    path = tmp_path_factory.mktemp("days")
    (path / "log" / "seg").mkdir(parents=True)
    records = [refused(seq) | {"seq": seq, "ts": str(DAY_0 + seq * DAY // 10)} for seq in range(30)]
    segment_path(path / "log", 0).write_bytes(b"".join(canonical(record) + b"\n" for record in records))
    with closing(open_index(path / "index.sqlite", path / "log")) as index:
        yield index, records


@given(
    since=st.none() | st.integers(-5, 35).map(lambda tenth: DAY_0 + tenth * DAY // 10),
    length=st.none() | st.integers(0, 35).map(lambda tenth: tenth * DAY // 10),
    group=st.sampled_from(("type", "tenant", "rule", "code", "detector", "action", "day")),
)
@settings(max_examples=150, deadline=None)
def test_counts_of_any_time_are_those_of_its_records(
    days: tuple[sqlite3.Connection, list[dict[str, object]]], since: int | None, length: int | None, group: str
) -> None:
    """Whole days come from counters that are kept, the rest is counted now; nobody can tell."""
    index, records = days
    until = None if length is None else (DAY_0 if since is None else since) + length
    expected: Counter[tuple[str, str]] = Counter()
    for record in records:
        ts = int(str(record["ts"]))
        if (since is None or ts >= since) and (until is None or ts < until):
            item = indexed(record)
            assert item is not None
            expected.update((day_of(ts), value) for heading, value in tallied(item) if heading == group)
    found = list(daily(index, Query(since_ns=since, until_ns=until), group))
    if group == "day":
        assert [(day, number) for day, _, number in found] == [(day, n) for (day, _), n in sorted(expected.items())]
    else:
        assert {(day, value): number for day, value, number in found} == expected
        assert found == sorted(found, key=lambda row: (row[0], -row[2], row[1]))


def test_a_name_is_compared_as_it_is_written(log: Path, index: sqlite3.Connection) -> None:
    """The text index knows no case and no order of words; the columns do."""
    assert count(index, Query(words=("CLINIC",))) == 20
    assert count(index, Query(exact=(("tenant", "CLINIC"),))) == 0
    assert count(index, Query(exact=(("tenant", "clinic bank"),))) == 0
    assert count(index, Query(exact=(("rule", "NO-PHI"),))) == 0


def test_a_request_is_found_with_words_beside_it(log: Path, index: sqlite3.Connection) -> None:
    assert requests(log, index, Query(words=("no-phi",), exact=(("req", "r3"),))) == ["r3"]
    assert requests(log, index, Query(words=("no-weapons",), exact=(("req", "r3"),))) == []


def test_times_are_read_as_people_write_them() -> None:
    now = 1_800_000_000 * 10**9
    assert moment("36h", now) == now - 36 * 3600 * 10**9
    assert moment("2026-11-20", now) == 1_795_132_800 * 10**9
    assert moment("2026-11-20T10:30:00Z", now) == moment("2026-11-20T11:30:00+01:00", now)
    for wrong in ("yesterday", "0h", "-1d", "2026-13-01"):
        with pytest.raises(QueryError):
            moment(wrong, now)
