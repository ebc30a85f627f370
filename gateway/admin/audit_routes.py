"""Reading the log through the gateway, so that the reading is itself recorded, and signing off a day's records.

Each answer waits for its `audit.read` record. Who reads the log's files on the machine leaves no record here, and no
route can change that; the operating system has to. A review is bound to the number of records that the reviewer saw.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.desk import AdminCall, Desk, Handler
from gateway.admin.log_reader import LogReader
from gateway.audit.errors import QueryError
from gateway.audit.search import moment
from gateway.audit_query_options import PARAMETERS
from gateway.errors import BadRequest, Conflict
from gateway.fields import integer, text
from gateway.jsonstrict import Json
from gateway.operators import Role

_MOST: Final = 200
_WORDS: Final = 10
_LONGEST_NOTE: Final = 500
_WORD: Final = re.compile(r"[0-9A-Za-z_\-/.:@]{1,64}\*?")
_VALUE: Final = re.compile(r"(?!--\Z)[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}")
"""What a name can be. Of `--detector=--` the command would be told nothing."""
_SCORE: Final = re.compile(r"0|1|1\.0{1,9}|0?\.[0-9]{1,9}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_YEAR: Final = 1970
_NAME: Final = re.compile(r"[a-z0-9_.\-]{1,64}")
"""Of a type or a code; keys of records are ASCII, and what stands in a corrupt one is not repeated."""


def audit_routes(desk: Desk, reader: LogReader) -> list[Route]:
    """Search, the summary of a day, and its sign-off. All for auditors."""
    auditors = (Role.AUDITOR,)
    return [
        desk.route("/admin/audit/search", "GET", auditors, _search(reader)),
        desk.route("/admin/audit/day", "GET", auditors, _day(reader)),
        desk.route("/admin/audit/review", "POST", auditors, _review(reader)),
    ]


@dataclass(frozen=True, slots=True)
class _Query:
    """A search, as far as its form is right; what it means is the command's to say."""

    filters: dict[str, str]
    words: tuple[str, ...]
    most: int

    def options(self) -> list[str]:
        given = [f"--{PARAMETERS[name]}={value}" for name, value in self.filters.items()]
        return [*given, f"-n={self.most}"]

    def told(self) -> Json:
        filters: dict[str, Json] = {**self.filters}
        return {"filters": filters, "words": list[Json](self.words), "most": self.most}


def _search(reader: LogReader) -> Handler:
    async def search(call: AdminCall) -> Response:
        query = _query(call.request.query_params)
        lines = await reader.search(query.options(), query.words)
        record = call.record("audit.read") | {"query": query.told(), "found": len(lines)}
        return call.json({"lines": list[Json](lines), "recorded_as": (await call.records.append(record)).seq})

    return search


def _query(given: QueryParams) -> _Query:
    """The parameters of a search. No message repeats a value."""
    _check_meaning(given)
    filters: dict[str, str] = {}
    for name in given:
        if name in PARAMETERS:
            filters[name] = _one(given, name, _VALUE)
        elif name not in ("word", "n"):
            raise BadRequest("unknown_field", "a parameter that a search does not have")
    words = tuple(given.getlist("word"))
    if len(words) > _WORDS or not all(map(_WORD.fullmatch, words)):
        raise BadRequest(
            "invalid_value", f"`word` is a name or a code of at most 64 characters, {_WORDS} times at most"
        )
    most = _one(given, "n", re.compile(r"[1-9][0-9]{0,2}")) if "n" in given else "50"
    if int(most) > _MOST:
        raise BadRequest("invalid_value", f"`n` is a number from 1 to {_MOST}", "n")
    return _Query(filters, words, int(most))


def _check_meaning(given: QueryParams) -> None:
    """What the command would refuse, after it was started."""
    for name in ("since", "until"):
        try:
            moment(given.get(name) or "1s", time.time_ns())
        except QueryError as exc:
            raise BadRequest("invalid_value", f"`{name}`: {exc}", name) from exc
    if "score" in given and ("detector" not in given or not _SCORE.fullmatch(given["score"])):
        raise BadRequest("invalid_value", "`score` is a number from 0 to 1 and needs `detector`", "score")


def _one(given: QueryParams, name: str, form: re.Pattern[str]) -> str:
    values = given.getlist(name)
    if len(values) != 1 or not form.fullmatch(values[0]):
        raise BadRequest("invalid_value", f"`{name}` has a value that cannot be searched for", name)
    return values[0]


def _day(reader: LogReader) -> Handler:
    async def day(call: AdminCall) -> Response:
        day = _closed_day(call.request.query_params.get("day"))
        by_type, by_code = await _counts(reader, day, "type"), await _counts(reader, day, "code")
        total = sum(by_type.values())
        record = call.record("audit.read") | {"query": {"day": day.isoformat()}, "found": total}
        seq = (await call.records.append(record)).seq
        said: dict[str, Json] = {"day": day.isoformat(), "records": total, "recorded_as": seq}
        return call.json(said | {"by_type": {**by_type}, "by_code": {**by_code}})

    return day


def _review(reader: LogReader) -> Handler:
    async def review(call: AdminCall) -> Response:
        body = await call.body({"day": None, "note": None, "records": None})
        day = _closed_day(body.get("day"))
        note = text(body.get("note"), "note")
        if not 1 <= len(note) <= _LONGEST_NOTE or not note.isprintable():
            raise BadRequest("invalid_value", f"`note` is one line of 1 to {_LONGEST_NOTE} characters", "note")
        seen = integer(0, 2**53 - 1)(body.get("records"), "records")
        by_type = await _counts(reader, day, "type")
        if sum(by_type.values()) != seen:
            raise Conflict("day_changed", "the day has another number of records than was reviewed: look at it again")
        said: Json = {"day": day.isoformat(), "records": seen, "by_type": {**by_type}, "note": note}
        seq = (await call.records.append(call.record("log.review") | {"reviewed": said})).seq
        return call.json({"day": day.isoformat(), "records": seen, "recorded_as": seq})

    return review


def _closed_day(given: object) -> date:
    """A UTC day that is over: more records could follow in one that is not."""
    try:
        day = date.fromisoformat(given) if isinstance(given, str) and _DAY.fullmatch(given) else None
    except ValueError:
        day = None
    if day is None or day.year < _FIRST_YEAR:
        raise BadRequest("invalid_value", "`day` is a day such as `2026-11-20`", "day")
    if day >= datetime.fromtimestamp(time.time(), UTC).date():
        raise BadRequest("day_not_over", "the day is not over in UTC: more records may follow", "day")
    return day


async def _counts(reader: LogReader, day: date, by: str) -> dict[str, int]:
    counts = await reader.day(day.isoformat(), (day + timedelta(days=1)).isoformat(), by)
    known: dict[str, int] = {}
    for name, number in counts.items():
        key = name if _NAME.fullmatch(name) else "other"
        known[key] = known.get(key, 0) + number
    return known
