"""A finding is one line, with its place first, for people, editors and CI."""

from __future__ import annotations

from policies.errors import Place
from policies.remarks import Finding


def test_findings_are_lines_sorted_by_place() -> None:
    late = Finding(Place("p.yaml", 10, 1), "b", "one thing", "do this")
    early = Finding(Place("p.yaml", 9, 1), "c", "another", "do that")
    assert sorted([late, early]) == [early, late]
    assert str(late) == "p.yaml:10:1: b: one thing (do this)"
