"""Tables show medians with their spread, and latencies above those of the model server itself."""

from __future__ import annotations

from bench.report import Row, median, progress, spread, tables

DIRECT: Row = {"gateway": "direct", "round": 0, "c16_p50_ms": 1.0, "c16_rps": 5000}
SLOW: Row = {
    "gateway": "slow",
    "round": 0,
    "c16_p50_ms": 4.5,
    "c16_cpu_per_1000": 0.25,
    "c16_rps": 100,
    "c16_errors": 0,
}


def test_a_spread_has_the_median_and_both_ends() -> None:
    rows = [{"x": 3.0}, {"x": 1.0}, {"x": 2.5}]
    assert spread(rows, "x", 1) == "2.5 (1.0..3.0)"
    assert median(rows, "x") == 2.5


def test_one_round_has_no_spread_and_none_is_a_dash() -> None:
    assert spread([{"x": 3.0}], "x", 2) == "3.00"
    assert spread([], "x", 2) == "-"


def test_latency_is_over_direct_except_in_its_own_row() -> None:
    lines = {line.split(" | ")[0].strip("| "): line for line in tables([DIRECT, SLOW]).splitlines()[:6]}
    assert "| 1.00 |" in lines["direct"]
    assert "| 3.50 |" in lines["slow"]


def test_a_failed_round_is_said_and_left_out() -> None:
    failed: Row = {"gateway": "slow", "round": 1, "failed": "ended with status 3"}
    assert progress(failed) == "round 1: slow: failed: ended with status 3"
    assert "slow" not in tables([DIRECT, failed])
