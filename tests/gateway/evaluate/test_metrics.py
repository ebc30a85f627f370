"""Every number against its definition, computed the slow way on small sets with many ties."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluate.metrics import Curve, Sample, at_threshold, percentile
from guards.verdict import PPM

SAMPLES = st.lists(
    st.tuples(st.sampled_from([0, 1, 250_000, 500_000, 999_999, PPM]) | st.integers(0, PPM), st.booleans()), max_size=40
)


@given(SAMPLES)
def test_auc_is_the_share_of_pairs_in_the_right_order(samples: list[Sample]) -> None:
    positives = [score for score, label in samples if label]
    negatives = [score for score, label in samples if not label]
    found = Curve.of(samples).auc()
    if not positives or not negatives:
        assert found is None
        return
    twice = sum(2 * (p > n) + (p == n) for p in positives for n in negatives)
    assert found == twice / (2 * len(positives) * len(negatives))


@given(SAMPLES)
def test_average_precision_sums_precision_over_gained_recall(samples: list[Sample]) -> None:
    """As scikit-learn defines it: sum over thresholds of (recall gained) x (precision there)."""
    positives = sum(label for _, label in samples)
    total, before = Fraction(0), Fraction(0)
    for threshold in sorted({score for score, _ in samples}, reverse=True):
        flagged = [label for score, label in samples if score >= threshold]
        if positives:
            recall = Fraction(sum(flagged), positives)
            total, before = total + (recall - before) * Fraction(sum(flagged), len(flagged)), recall
    found = Curve.of(samples).average_precision()
    assert found is None if not positives else found == pytest.approx(float(total), rel=1e-12)


@given(SAMPLES, st.sampled_from([Fraction(0), Fraction(1, 100), Fraction(1, 3), Fraction(1)]))
def test_best_within_finds_the_most_without_more_false_alarms(samples: list[Sample], rate: Fraction) -> None:
    found = Curve.of(samples).best_within(rate)
    negatives = [score for score, label in samples if not label]
    if found is None:
        assert not negatives
        return

    def alarms(threshold: int) -> Fraction:
        return Fraction(sum(score >= threshold for score in negatives), len(negatives))

    assert alarms(found.threshold_ppm) <= rate
    lower = [score for score, _ in samples if score < found.threshold_ppm]
    assert all(alarms(score) > rate for score in lower)


@given(SAMPLES, st.integers(0, PPM + 1))
def test_counts_at_a_threshold_add_up(samples: list[Sample], threshold: int) -> None:
    found = at_threshold(samples, threshold)
    assert found.recall.of == sum(label for _, label in samples)
    assert found.recall.of + found.false_alarms.of == len(samples)
    assert found.precision.of == sum(score >= threshold for score, _ in samples)
    assert found.precision.count == found.recall.count
    assert found.precision.of - found.precision.count == found.false_alarms.count


def test_a_score_equal_to_the_threshold_is_flagged_as_the_policy_flags_it() -> None:
    samples = [(500_000, True), (499_999, True), (500_000, False), (0, False)]
    found = at_threshold(samples, 500_000)
    assert (found.recall.count, found.recall.of, found.false_alarms.count) == (1, 2, 1)
    assert found.f1 == 2 * 1 / (2 + 2)


def test_f1_is_unknown_without_anything_to_find_and_zero_when_all_is_missed() -> None:
    assert at_threshold([(1, False)], 5).f1 is None
    assert at_threshold([(1, True)], 5).f1 == 0.0


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (95, 10), (99, 10), (1, 1), (100, 10)])
def test_percentiles_are_values_that_were_seen(percent: int, expected: int) -> None:
    assert percentile([10, 1, 2, 3, 4, 5, 6, 7, 8, 9], percent) == expected
    assert percentile([], percent) is None
