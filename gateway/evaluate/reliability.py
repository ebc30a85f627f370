"""Whether a score of 0.8 means 80 %: reliability, Brier score, and a temperature that would mend it.

Thresholds need no calibrated score, people who read one do. The temperature is fitted as logistic regression on the
logit of the score (slope 1/T and a bias); both are monotone, so they move no row past another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.evaluate.metrics import Sample
from guards.verdict import PPM

BINS = 10
_ROUNDS = 100
_STEEPEST = 1e4
"""A slope beyond this means that a line parts the classes: the likelihood has no best point to stop at."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The rows with a score in [low, high); the last bin has 1 in it."""

    low: float
    high: float
    rows: int
    mean_score: float
    share: float
    """Of these rows, those that the label says to flag."""


def bins(samples: Sequence[Sample], count: int = BINS) -> tuple[Bin, ...]:
    """Only bins that hold rows."""
    held: list[list[Sample]] = [[] for _ in range(count)]
    for score, label in samples:
        held[min(count - 1, score * count // PPM)].append((score, label))
    return tuple(
        Bin(
            low=index / count,
            high=(index + 1) / count,
            rows=len(rows),
            mean_score=sum(score for score, _ in rows) / len(rows) / PPM,
            share=sum(label for _, label in rows) / len(rows),
        )
        for index, rows in enumerate(held)
        if rows
    )


def calibration_error(samples: Sequence[Sample], count: int = BINS) -> float | None:
    """Expected calibration error: how far score and share lie apart, averaged over the rows."""
    if not samples:
        return None
    return math.fsum(found.rows * abs(found.mean_score - found.share) for found in bins(samples, count)) / len(samples)


def brier(samples: Sequence[Sample]) -> float | None:
    """Mean squared distance of the score from what the label says."""
    if not samples:
        return None
    return sum((score - PPM * label) ** 2 for score, label in samples) / (PPM * PPM * len(samples))


def log_loss(samples: Sequence[Sample]) -> float | None:
    """Mean negative log-likelihood, in nats."""
    if not samples:
        return None
    return math.fsum(_loss(logit(score), label) for score, label in samples) / len(samples)


@dataclass(frozen=True, slots=True)
class Temperature:
    """logit' = logit / temperature + bias."""

    temperature: float
    bias: float

    def applied(self, score_ppm: int) -> int:
        """The score it makes of a score, in parts per million."""
        return int(_sigmoid(logit(score_ppm) / self.temperature + self.bias) * PPM + 0.5)


def fit_temperature(samples: Sequence[Sample]) -> Temperature | None:
    """The likeliest temperature and bias. None when there is none: one class only, or classes without overlap, or
    scores that fall where they should rise."""
    points = [(logit(score), float(label)) for score, label in samples]
    if len({label for _, label in points}) < 2 or _separates(points):
        return None
    slope, bias = 1.0, 0.0
    for _ in range(_ROUNDS):
        step = _newton_step(points, slope, bias)
        if step is None:
            return None
        scale, loss = 1.0, _total_loss(points, slope, bias)
        while _total_loss(points, slope + scale * step[0], bias + scale * step[1]) > loss and scale > 1e-9:
            scale /= 2
        slope, bias = slope + scale * step[0], bias + scale * step[1]
        if not abs(slope) < _STEEPEST or not abs(bias) < _STEEPEST:
            return None
        if scale * max(abs(step[0]), abs(step[1])) < 1e-10:
            break
    return Temperature(1 / slope, bias) if slope > 1 / _STEEPEST else None


def _newton_step(points: Sequence[tuple[float, float]], slope: float, bias: float) -> tuple[float, float] | None:
    """Solves the two normal equations; None when they have no single solution, as with one score for all rows."""
    g0 = g1 = h00 = h01 = h11 = 0.0
    for x, y in points:
        p = _sigmoid(slope * x + bias)
        weight, off = p * (1 - p), p - y
        g0, g1 = g0 + off * x, g1 + off
        h00, h01, h11 = h00 + weight * x * x, h01 + weight * x, h11 + weight
    determinant = h00 * h11 - h01 * h01
    if not determinant > 1e-12 * h00 * h11:
        return None
    return (h01 * g1 - h11 * g0) / determinant, (h01 * g0 - h00 * g1) / determinant


def _separates(points: Sequence[tuple[float, float]]) -> bool:
    """Whether some line has all of one class on one side."""
    flagged, passed = [x for x, y in points if y], [x for x, y in points if not y]
    return min(flagged) >= max(passed) or max(flagged) <= min(passed)


def logit(score_ppm: int) -> float:
    """Scores of 0 and 1 are taken as half a step inside: what rounding to parts per million left of them."""
    inside = min(max(score_ppm, 0.5), PPM - 0.5)
    return math.log(inside / (PPM - inside))


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    grown = math.exp(x)
    return grown / (1 + grown)


def _loss(x: float, label: float) -> float:
    signed = x if label else -x
    return max(0.0, -signed) + math.log1p(math.exp(-abs(signed)))


def _total_loss(points: Sequence[tuple[float, float]], slope: float, bias: float) -> float:
    return math.fsum(_loss(slope * x + bias, y) for x, y in points)
