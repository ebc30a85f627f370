"""Calibration: the bins hold every row, and the fitted temperature is where the likelihood has its peak."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluate.metrics import Sample
from gateway.evaluate.reliability import (
    Temperature,
    bins,
    brier,
    calibration_error,
    fit_temperature,
    log_loss,
    logit,
)
from guards.verdict import PPM

SAMPLES = st.lists(st.tuples(st.integers(0, PPM), st.booleans()), min_size=1, max_size=50)


def drawn(temperature: float, bias: float, rows: int = 4000) -> list[Sample]:
    """Scores whose true probability is that of another temperature."""
    source = random.Random(7)
    samples = []
    for _ in range(rows):
        score = source.randrange(1, PPM)
        truth = Temperature(temperature, bias).applied(score) / PPM
        samples.append((score, source.random() < truth))
    return samples


@given(SAMPLES)
def test_every_row_is_in_one_bin_and_the_error_is_that_of_its_definition(samples: list[Sample]) -> None:
    found = bins(samples)
    assert sum(one.rows for one in found) == len(samples)
    assert all(one.low <= one.mean_score <= one.high for one in found)
    slow = 0.0
    for index in range(10):
        mine = [(s / PPM, y) for s, y in samples if (index == 9 and s == PPM) or index <= s * 10 / PPM < index + 1]
        if mine:
            slow += abs(sum(s for s, _ in mine) - sum(y for _, y in mine)) / len(samples)
    assert calibration_error(samples) == pytest.approx(slow, abs=1e-9)


@given(SAMPLES)
def test_brier_is_the_mean_squared_distance(samples: list[Sample]) -> None:
    slow = sum((score / PPM - label) ** 2 for score, label in samples) / len(samples)
    assert brier(samples) == pytest.approx(slow, abs=1e-9)


def test_of_no_rows_nothing_is_known() -> None:
    assert (brier([]), calibration_error([]), log_loss([]), bins([])) == (None, None, None, ())


def test_certain_and_wrong_costs_much_but_not_without_end() -> None:
    loss = log_loss([(PPM, False)])
    assert loss == pytest.approx(math.log(2 * PPM), rel=1e-3)
    assert log_loss([(PPM, True)]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, 0.7), (0.5, -1.0)])
def test_a_known_temperature_is_found_again(temperature: float, bias: float) -> None:
    found = fit_temperature(drawn(temperature, bias))
    assert found is not None
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.bias == pytest.approx(bias, abs=0.15)


@given(st.lists(st.tuples(st.integers(0, PPM), st.booleans()), min_size=6, max_size=40))
def test_no_neighbour_is_likelier_than_the_fit(samples: list[Sample]) -> None:
    """The optimum is checked as such: every small move makes the likelihood worse."""
    found = fit_temperature(samples)
    if found is None:
        return

    def loss(slope: float, bias: float) -> float:
        signed = [(1 if label else -1) * (slope * logit(score) + bias) for score, label in samples]
        return sum(max(0.0, -x) + math.log1p(math.exp(-abs(x))) for x in signed)

    slope = 1 / found.temperature
    best = loss(slope, found.bias)
    for ds, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert loss(slope * (1 + ds), found.bias + db) >= best - 1e-7


@pytest.mark.parametrize(
    "samples",
    [
        [(900_000, True), (800_000, True)],
        [(900_000, True), (100_000, False)],
        [(100_000, True), (900_000, False)],
        [(500_000, True), (500_000, False)],
        [(200_000, True), (300_000, True), (250_000, False), (900_000, False), (800_000, False)],
    ],
    ids=["one class", "parted by a line", "parted the wrong way", "one score", "falling"],
)
def test_scores_without_a_best_temperature_get_none(samples: list[Sample]) -> None:
    assert fit_temperature(samples) is None


def test_a_temperature_reorders_nothing() -> None:
    found = Temperature(3.0, -0.5)
    scores = [0, 1, 1000, 250_000, 500_000, 750_000, 999_999, PPM]
    moved = [found.applied(score) for score in scores]
    assert moved == sorted(moved)
    assert all(0 <= score <= PPM for score in moved)
