"""Which records of a log speak to a framework's controls, in which numbers, and where there are none.

Counted are records as they stand in the log, by UTC days. Whether they hold is for `audit verify` to say, and whether
an obligation is met for neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.audit.controls.framework import Control, Evidence, Framework
from gateway.audit.report import iso
from gateway.audit.search import Query, daily, edge

CAVEAT: Final = (
    "These are records that speak to a control. Whether an obligation is met is not said here; whether the records "
    "hold says `gatehouse audit verify`."
)
_SILENCE: Final = "no record in this time; whether nothing happened must be shown otherwise"


@dataclass(frozen=True, slots=True)
class Found:
    """Records that speak to a control."""

    evidence: Evidence
    counts: tuple[tuple[str, int], ...]
    """(type, how many), for types that there are."""
    first_ns: int | None
    last_ns: int | None
    gap: str
    """Why this is a gap; empty if it is none."""
    note: str
    """What none of them means where that is no gap."""

    @property
    def records(self) -> int:
        return sum(number for _, number in self.counts)


@dataclass(frozen=True, slots=True)
class Answered:
    """One control with what there is for it."""

    control: Control
    found: tuple[Found, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        if not self.found:
            return ("no record can speak to it",)
        return tuple(found.gap for found in self.found if found.gap)

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing, and nothing had to be: what would have been recorded may just not have happened."""
        return not self.gaps and not any(found.records for found in self.found)


def answer(
    index: sqlite3.Connection, framework: Framework, since_ns: int | None, until_ns: int | None
) -> list[Answered]:
    """All controls of a framework. The bounds are beginnings of UTC days."""
    time = Query(since_ns=since_ns, until_ns=until_ns)
    days: dict[str, dict[str, int]] = {}
    for day, kind, number in daily(index, time, "type"):
        days.setdefault(kind, {})[day] = number
    active = {day for by_day in days.values() for day in by_day}
    return [
        Answered(control, tuple(_find(index, item, time, days, active) for item in control.evidence))
        for control in framework.controls
    ]


def _find(
    index: sqlite3.Connection, item: Evidence, time: Query, days: Mapping[str, Mapping[str, int]], active: set[str]
) -> Found:
    counts = tuple((kind, sum(days[kind].values())) for kind in item.records if kind in days)
    times = [moment for kind, _ in counts for moment in _edges(index, kind, time)]
    on = {day for kind, _ in counts for day in days[kind]}
    gap = note = ""
    if not counts:
        gap, note = ("", item.without) if item.happens else (item.without, "")
    elif item.each_day and on < active:
        gap = f"on {len(on)} of {len(active)} days with records only"
    return Found(item, counts, min(times, default=None), max(times, default=None), gap, note)


def _edges(index: sqlite3.Connection, kind: str, time: Query) -> Iterator[int]:
    query = Query(exact=(("type", kind),), since_ns=time.since_ns, until_ns=time.until_ns)
    for newest in (False, True):
        found = edge(index, query, newest)
        if found is not None:
            yield found


def as_json(framework: Framework, answered: list[Answered]) -> dict[str, object]:
    """Stable names; times as text."""
    return {
        "framework": framework.name,
        "title": framework.title,
        "source": framework.source,
        "caveat": CAVEAT,
        "controls": [_control_json(one) for one in answered],
        "gaps": sum(bool(one.gaps) for one in answered),
        "silent": sum(one.is_silent for one in answered),
    }


def _control_json(one: Answered) -> dict[str, object]:
    return {
        "id": one.control.id,
        "asks": one.control.asks,
        "evidence": [
            {
                "types": list(found.evidence.records),
                "says": found.evidence.says,
                "records": found.records,
                "by_type": dict(found.counts),
                "first": iso(found.first_ns) if found.first_ns is not None else None,
                "last": iso(found.last_ns) if found.last_ns is not None else None,
                "gap": found.gap or None,
                "note": found.note or None,
            }
            for found in one.found
        ],
        "outside": one.control.outside or None,
        "gaps": list(one.gaps),
        "silent": one.is_silent,
    }


def as_text(framework: Framework, answered: list[Answered]) -> Iterator[str]:
    """For people, a paragraph for each control."""
    yield framework.title
    yield f"compare with: {framework.source}"
    yield CAVEAT
    for one in answered:
        yield ""
        yield f"{one.control.id}  {one.control.asks}"
        for found in one.found:
            yield from _found_text(found)
        if not one.found:
            yield from (f"  GAP        {gap}" for gap in one.gaps)
        if one.is_silent:
            yield f"  SILENT     {_SILENCE}"
        if one.control.outside:
            yield f"  outside    {one.control.outside}"
    yield ""
    for word, ids in (("have gaps", [one.control.id for one in answered if one.gaps]),
                      ("are silent", [one.control.id for one in answered if one.is_silent])):  # fmt: skip
        yield f"{len(ids)} of {len(answered)} controls {word}" + (f": {'; '.join(ids)}" if ids else "")


def _found_text(found: Found) -> Iterator[str]:
    types = ", ".join(f"{kind} {number:,}" for kind, number in found.counts) or ", ".join(found.evidence.records)
    if found.first_ns is not None and found.last_ns is not None:
        yield f"  {found.records:>9,}  {types}: {found.evidence.says}"
        yield f"             first {iso(found.first_ns)}, last {iso(found.last_ns)}"
    if found.gap:
        yield f"  GAP        {types}: {found.gap}"
    if found.note:
        yield f"       none  {types}: {found.note}"
