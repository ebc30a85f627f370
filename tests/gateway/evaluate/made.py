"""Runs that are made up, for the tests of what is computed from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gateway.evaluate.run import Judged, Run, ScoredRow, Subject

DIGEST = "sha256:" + "ab" * 32


def subject(name: str = "inject", **changed: Any) -> Subject:
    values: dict[str, Any] = {
        "name": name,
        "use": "starter_injection",
        "version": "starter_injection/1",
        "weights": DIGEST,
        "threshold_ppm": 500_000,
        "threshold_from": "policy",
        "is_model": True,
    }
    return Subject(**values | changed)


def row(line: int, label: bool, judged: Mapping[str, Judged] | Judged | int, **changed: Any) -> ScoredRow:
    """A row that the detector `inject` scored, or several did."""
    if isinstance(judged, int):
        judged = Judged(judged, windows=1, us=1000)
    by_name = {"inject": judged} if isinstance(judged, Judged) else dict(judged)
    return ScoredRow(line, changed.pop("id", f"{line:024x}"), label, MappingProxyType(by_name), **changed)


def run(rows: Sequence[ScoredRow], *subjects: Subject) -> Run:
    return Run(
        date="2026-11-21T10:00:00Z",
        version="0.1.0",
        hardware="a machine, 2 cores",
        set_name="set.jsonl",
        set_digest=DIGEST,
        policy="default 1 sha256:00",
        subjects=subjects or (subject(),),
        rows=tuple(rows),
    )
