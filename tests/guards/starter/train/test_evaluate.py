"""Tables count what was stopped, right and wrong."""

from __future__ import annotations

from guards.starter.train.data import Row
from guards.starter.train.evaluate import Scored, grouped, line, summary


def scored(score: float, label: bool, lang: str = "en") -> Scored:
    return Scored(Row("text", "somewhere", lang, attack=label), score, label)


def test_a_line_counts_at_and_above_the_threshold() -> None:
    rows = [scored(0.5, True), scored(0.4, True), scored(0.5, False), scored(0.1, False)]
    assert line("all", rows, 0.5) == "| all | 1/2 (50%) | 1/2 (50%) |"
    assert line("none", [scored(0.5, False)], 0.6) == "| none | – | 0/1 (0%) |"


def test_groups_and_summary() -> None:
    rows = [scored(0.9, True, "de"), scored(0.1, False)]
    assert list(grouped(rows, lambda row: row.lang)) == ["de", "en"]
    assert summary(rows).startswith("AUC 1.000")
