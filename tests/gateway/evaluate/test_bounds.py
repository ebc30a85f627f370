"""Bounds against brute force with exact fractions, and against values that tables of the trade print."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluate.bounds import allowed, at_most_probability, exact, rows_needed, shows, upper_bound, wilson

COUNTS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def binomial(k: int, n: int, p: Fraction) -> Fraction:
    """The definition, summed exactly."""
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@given(COUNTS, st.fractions(0, 1, max_denominator=1000))
def test_the_binomial_sum_is_that_of_its_definition(counts: tuple[int, int], p: Fraction) -> None:
    k, n = counts
    assert at_most_probability(k, n, float(p)) == pytest.approx(float(binomial(k, n, p)), abs=1e-9)


def test_the_sum_holds_for_many_rows() -> None:
    """Nothing under- or overflows: 0.01 of 100,000 rows, at the mean about half."""
    assert at_most_probability(1000, 100_000, 0.01) == pytest.approx(0.508, abs=0.001)
    assert at_most_probability(99_000, 100_000, 0.01) == 1.0
    assert at_most_probability(-1, 10, 0.5) == 0.0


@given(COUNTS, st.sampled_from([0.9, 0.95, 0.99]))
def test_the_upper_bound_is_where_the_count_becomes_too_unlikely(counts: tuple[int, int], confidence: float) -> None:
    count, of = counts
    bound = upper_bound(count, of, confidence)
    assert count / of <= bound <= 1.0
    if count < of:
        assert at_most_probability(count, of, bound) <= 1 - confidence + 1e-9
        assert at_most_probability(count, of, bound - 1e-6) > 1 - confidence


@pytest.mark.parametrize(("k", "n"), [(0, 3000), (2, 2000), (8, 2000), (19, 2000)])
def test_small_chances_are_right_in_all_their_digits(k: int, n: int) -> None:
    """The promise of `calibrate` is made of such numbers, so their relative error counts."""
    p = Fraction(1, 100)
    assert at_most_probability(k, n, 0.01) == pytest.approx(float(binomial(k, n, p)), rel=1e-9, abs=0)


def test_known_values() -> None:
    """Rule of three: 0 of 300 rules out 1 % at 95 %. Clopper and Pearson of 8 in 20: 0.1912 to 0.6395. Wilson of it:
    0.2188 to 0.6134."""
    assert upper_bound(0, 300, 0.95) == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-9)
    clopper, near = exact(8, 20, 0.95), wilson(8, 20)
    assert (clopper.low, clopper.high) == (pytest.approx(0.1912, abs=1e-4), pytest.approx(0.6395, abs=1e-4))
    assert (near.low, near.high) == (pytest.approx(0.2188, abs=1e-4), pytest.approx(0.6134, abs=1e-4))


@given(COUNTS)
def test_both_intervals_hold_the_share_and_mirror_it(counts: tuple[int, int]) -> None:
    """What is known of the misses is what is known of the hits."""
    count, of = counts
    for found, mirrored in (
        (wilson(count, of), wilson(of - count, of)),
        (exact(*counts, 0.95), exact(of - count, of, 0.95)),
    ):
        assert 0.0 <= found.low <= count / of <= found.high <= 1.0
        assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)


def test_of_nothing_nothing_is_known() -> None:
    for found in (wilson(0, 0), exact(0, 0, 0.95)):
        assert (found.value, found.low, found.high) == (None, 0.0, 1.0)


@given(st.integers(1, 800), st.sampled_from([0.005, 0.01, 0.02, 0.1, 0.5]), st.sampled_from([0.9, 0.95, 0.99]))
def test_allowed_is_the_most_that_still_shows_the_rate(n: int, rate: float, confidence: float) -> None:
    most = allowed(n, rate, confidence)
    if most is None:
        assert not shows(0, n, rate, confidence)
        assert n < rows_needed(rate, confidence)
    else:
        assert shows(most, n, rate, confidence)
        assert not shows(most + 1, n, rate, confidence)
        assert upper_bound(most, n, confidence) <= rate + 1e-12
        assert n >= rows_needed(rate, confidence)


def test_rows_needed_is_what_statisticians_know_by_heart() -> None:
    """299 for 1 % at 95 %, 459 at 99 %, 59 for 5 % at 95 %."""
    assert [rows_needed(0.01, 0.95), rows_needed(0.01, 0.99), rows_needed(0.05, 0.95)] == [299, 459, 59]
