"""What a person reads in the terminal."""

from __future__ import annotations

from gateway.evaluate.bounds import wilson
from gateway.evaluate.calibrate import Target, calibrate
from gateway.evaluate.measured import measure
from gateway.evaluate.report import measure_all
from gateway.evaluate.run import Judged
from gateway.evaluate.text import as_text, calibration_as_text, share, table, threshold
from tests.gateway.evaluate.made import row, run, subject


def test_missing_verdicts_stand_at_the_top_with_their_kinds() -> None:
    found = run([row(1, True, 900_000), row(2, False, 1), row(3, False, Judged(None, "timeout"))])
    said = as_text(found, [measure(found, "inject")])
    assert "judged               2 rows, NOT judged: 1\n    timeout            1\n" in said
    assert "3 rows, 3 different texts, 1 to flag, 2 to pass" in said


def test_what_a_set_cannot_tell_is_a_dash() -> None:
    found = run([row(1, False, 1)])
    said = as_text(found, measure_all(found))
    assert "AUC                  -\n" in said
    assert "recall at 1 % FPR" not in said
    assert "recall             -\n" in said


def test_a_share_carries_its_bounds_and_counts() -> None:
    assert share(wilson(8, 20)) == "0.400 [0.219, 0.613] 8/20"
    assert share(wilson(0, 0)) == "-"
    assert threshold(545_000) == "0.545000"
    assert threshold(1_000_001).startswith("none")


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(["a", "b"], [["long", "1"], ["x", "2"]]) == ["a     b", "long  1", "x     2"]


def test_a_calibration_shows_before_and_after_and_the_entry() -> None:
    rows = [row(n, False, n * 1000) for n in range(400)] + [row(900 + n, True, 350_000 + n * 10_000) for n in range(40)]
    found = run(rows, subject())
    said = calibration_as_text(found, calibrate(found, "inject", Target(0.05, temperature=True)), "  inject:\n")
    assert "  chosen     0.3" in said
    assert "  before     0.500000" in said
    assert "temperature" in said
    assert "the policy language has no field for a temperature" in said
    assert said.endswith("for `detectors:` of a policy:\n\n  inject:\n")
    assert "rule the stated rate out" not in said
