"""Scores and labels to the numbers that describe a detector. Counts are integers until the last division.

A detector flags a row when its score is at least the threshold, as the policy does. Rows with equal scores cannot be
told apart by any threshold, so every curve moves over them in one step. What cannot be known (no row of one class) is
None, never 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from gateway.evaluate.bounds import Share, wilson
from guards.verdict import PPM

Sample: TypeAlias = tuple[int, bool]
"""(score in parts per million, whether the label says that it should be flagged)"""


@dataclass(frozen=True, slots=True)
class Step:
    """What a threshold of `threshold_ppm` flags."""

    threshold_ppm: int
    true: int
    """Flagged rows that should be."""
    false: int
    """Flagged rows that should not be."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Every threshold that makes a difference, the strictest first."""

    positives: int
    negatives: int
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Curve:
        steps: list[Step] = []
        true = false = 0
        ordered = sorted(samples, reverse=True)
        for index, (score, label) in enumerate(ordered, 1):
            true, false = true + label, false + (not label)
            if index == len(ordered) or ordered[index][0] != score:
                steps.append(Step(score, true, false))
        return cls(true, false, tuple(steps))

    def auc(self) -> float | None:
        """The chance that a row to flag scores above one to pass, ties half."""
        if not self.positives or not self.negatives:
            return None
        twice, true, false = 0, 0, 0
        for step in self.steps:
            twice += (step.false - false) * (step.true + true)
            true, false = step.true, step.false
        return twice / (2 * self.positives * self.negatives)

    def average_precision(self) -> float | None:
        """Precision averaged over the rows to flag, without interpolation."""
        if not self.positives:
            return None
        terms, true = [], 0
        for step in self.steps:
            terms.append((step.true - true) * step.true / (step.true + step.false))
            true = step.true
        return math.fsum(terms) / self.positives

    def best_within(self, rate: Fraction) -> Step | None:
        """The lowest threshold whose false alarms stay within `rate`; None when no row to pass was seen."""
        if not self.negatives:
            return None
        best = Step(PPM + 1, 0, 0)
        for step in self.steps:
            if step.false * rate.denominator > rate.numerator * self.negatives:
                break
            best = step
        return best


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What happens at one threshold, each share with its 95 % bounds."""

    threshold_ppm: int
    precision: Share
    recall: Share
    false_alarms: Share

    @property
    def f1(self) -> float | None:
        """None when there is nothing to find."""
        true, flagged, wanted = self.recall.count, self.precision.of, self.recall.of
        return 2 * true / (flagged + wanted) if wanted else None


def at_threshold(samples: Sequence[Sample], threshold_ppm: int) -> AtThreshold:
    flagged = [label for score, label in samples if score >= threshold_ppm]
    positives = sum(label for _, label in samples)
    true, false = sum(flagged), len(flagged) - sum(flagged)
    return AtThreshold(
        threshold_ppm,
        precision=wilson(true, true + false),
        recall=wilson(true, positives),
        false_alarms=wilson(false, len(samples) - positives),
    )


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile: a value that was seen."""
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
