"""The values of an evaluation refuse what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.evaluate.run import Judged, in_order
from tests.gateway.evaluate.made import row, run, subject


@pytest.mark.parametrize(
    "wrong",
    [
        {"score_ppm": None},
        {"score_ppm": 5, "error": "timeout"},
        {"score_ppm": 1_000_001},
        {"score_ppm": -1},
        {"score_ppm": 1, "categories": {"S1": -1}},
        {"score_ppm": 1, "windows": -1},
        {"score_ppm": 1, "us": -1},
    ],
)
def test_a_judgement_is_a_score_in_range_or_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Judged(**wrong)


def test_missing_verdicts_are_counted_over_all_detectors() -> None:
    judged = {"a": Judged(None, "timeout"), "b": Judged(3)}
    found = run([row(1, True, judged), row(2, False, judged)], subject("a"), subject("b"))
    assert found.errors == 2
    assert found.subject("b").name == "b"


def test_throughput_and_category_thresholds() -> None:
    found = subject(rows=50, wall_us=2_000_000, category_ppm={"S1": 7})
    assert found.rows_per_s == 25.0
    assert subject().rows_per_s is None
    assert (found.category_threshold("S1"), found.category_threshold("S2")) == (7, 500_000)


def test_codes_come_in_the_order_of_their_numbers() -> None:
    assert in_order(["S10", "S2", "hate", "S1"]) == ["S1", "S2", "S10", "hate"]
