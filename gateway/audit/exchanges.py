"""Exchanges that were admitted, and reviews that were opened, and have not ended: what a start has to say of them if a
crash cuts them off here.

The writer keeps this up to date as it goes, so that what it notes at the beginning of a segment (resume.py) saves a
start from reading everything since the last one; and a start fills it from the records that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from gateway.audit.record import Json

TERMINALS = frozenset({"request.refuse", "response.complete", "response.abort", "response.orphan"})
REVIEWS = frozenset({"review.open", "review.close", "review.expire"})
KINDS = TERMINALS | REVIEWS | {"request.admit", "response.progress"}
"""Records of other types change nothing here."""
_WHOSE: Final = ("tenant", "app")
_UNSENT: Final[dict[str, Json]] = {"released_max": 0, "ended_by": "crash"}
_LATE: Final[dict[str, Json]] = {"mode": "shadow_only", "ended_by": "crash"}
"""Text that leaves before it is judged leaves without records: how much of it did, nobody can say."""


class Change(NamedTuple):
    """What a record does to one open exchange or review."""

    key: str
    entry: dict[str, Json] | None
    """What a start would say of it if nothing more came; of a progress, its `stream`; None: it has ended."""
    is_progress: bool = False

    def apply(self, opened: dict[str, dict[str, Json]], seq: int) -> None:
        """`opened` holds a `response.orphan` for each open exchange, and a `review.close` for each open review."""
        if self.entry is None:
            opened.pop(self.key, None)
        elif not self.is_progress:
            opened[self.key] = self.entry
        elif self.key in opened:
            opened[self.key]["stream"] = {**self.entry, "progress_seq": seq, "ended_by": "crash"}


def track(opened: dict[str, dict[str, Json]], record: Mapping[str, Json], seq: int) -> None:
    """Take note of a record."""
    change = change_of(record)
    if change is not None:
        change.apply(opened, seq)


def change_of(record: Mapping[str, Json]) -> Change | None:
    """What is to be noted when the record is in the log."""
    kind, request = record.get("type"), record.get("req")
    if kind not in KINDS:
        return None
    if kind in REVIEWS:
        return _review_change(record)
    if not isinstance(request, str):
        return None
    if kind == "request.admit":
        return Change(request, _orphan(request, record))
    if kind == "response.progress":
        known = _object(record.get("stream"))
        # The window of this very record may have left too, so what had arrived is the bound where it is known.
        return Change(request, {"released_max": known.get("received", known.get("released", 0))}, is_progress=True)
    return Change(request, None)


def _orphan(request: str, record: Mapping[str, Json]) -> dict[str, Json]:
    """Of an exchange that was cut off right after it was admitted."""
    orphan: dict[str, Json] = {"type": "response.orphan", "stage": "complete", "req": request}
    for name in _WHOSE:
        if name in record:
            orphan[name] = record[name]
    is_late = _object(record.get("stream")).get("mode") == "shadow_only"
    orphan["stream"] = _LATE if is_late else _UNSENT
    return orphan


def _review_change(record: Mapping[str, Json]) -> Change | None:
    key, review = _review_of(record), _object(record.get("review"))
    if not key:
        return None
    if record["type"] != "review.open":
        return Change(key, None)
    rules = review.get("rules", [])
    said: dict[str, Json] = {"id": review["id"], "rules": rules, "outcome": "abandoned", "why": "crash"}
    kept = {name: record[name] for name in ("req", *_WHOSE) if name in record}
    return Change(key, {"type": "review.close", "stage": "complete", **kept, "review": said})


def _review_of(record: Mapping[str, Json]) -> str:
    """Under which a review is kept among the exchanges: no id of a request has a space in it."""
    name = _object(record.get("review")).get("id")
    return f"review {name}" if isinstance(name, str) else ""


_PREV: Final = b'"prev":"'
_BEHIND_PREV: Final = len(_PREV) + 44 + len('",')
_REQ: Final = b'"req":"'
_TYPE: Final = b'"type":"re'


class OpenLines:
    """The same from stored lines that hold. Only those of exchanges that stay open are parsed."""

    def __init__(self, before: Mapping[str, dict[str, Json]]) -> None:
        """`before`: exchanges that were open before the first of these lines."""
        self._before = before
        self._lines = {request: (b"", b"") for request in before}
        """What admitted each open exchange, and its last progress, if that is among the lines."""

    def take(self, line: bytes) -> None:
        at = line.find(_TYPE)
        if at < 0:
            return
        kind = line[at + 8 : line.find(b'"', at + 8)].decode()
        if line.find(_TYPE, at + 1) >= 0:
            # A field of some object is called so, too.
            kind = str(orjson.loads(line).get("type"))
        if kind not in KINDS:
            return
        request = _request_in(line) if kind not in REVIEWS else _review_of(orjson.loads(line))
        if kind in REVIEWS and not request:
            return
        if kind in ("request.admit", "review.open"):
            self._lines[request] = (line, b"")
        elif kind in TERMINALS or kind in REVIEWS:
            self._lines.pop(request, None)
        elif request in self._lines:
            self._lines[request] = (self._lines[request][0], line)

    def finish(self) -> dict[str, dict[str, Json]]:
        """Those that are open now, as `track` would have it."""
        opened: dict[str, dict[str, Json]] = {}
        for request, lines in self._lines.items():
            if not lines[0]:
                opened[request] = dict(self._before[request])
            for record in (orjson.loads(line) for line in lines if line):
                track(opened, record, record["seq"])
        return opened


def _request_in(line: bytes) -> str:
    """The id in a canonical line: `req` comes right behind `prev`, whose value is 44 characters long."""
    at = line.rfind(_PREV) + _BEHIND_PREV
    end = line.find(b'"', at + len(_REQ))
    request = line[at + len(_REQ) : end]
    if at < _BEHIND_PREV or not line.startswith(_REQ, at) or b"\\" in request:
        return str(orjson.loads(line).get("req"))
    return request.decode()


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
