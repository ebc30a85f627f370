"""Exact bounds for shares: what a count says of the rate behind it.

Wilson's interval is for showing: it keeps its promise on average. Clopper and Pearson's is for promising: the chance
that the true rate lies above it is never more than stated, however few rows there are. The threshold that `calibrate`
picks rests on the second, so it is computed from the binomial sum itself, without an approximation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_HALVINGS = 60
"""Of the unit interval: far below what a float between 0 and 1 can tell apart."""
_NO_WEIGHT = 1e-17


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with the bounds of the rate behind it."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """None when there was nothing to count."""
        return self.count / self.of if self.of else None


def wilson(count: int, of: int, confidence: float = 0.95) -> Share:
    """A share with Wilson's two-sided bounds; of nothing, nothing is known: 0 to 1."""
    if of == 0:
        return Share(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, square = count / of, z * z
    middle = (p + square / (2 * of)) / (1 + square / of)
    reach = z * math.sqrt(p * (1 - p) / of + square / (4 * of * of)) / (1 + square / of)
    return Share(count, of, 0.0 if count == 0 else max(0.0, middle - reach), 1.0 if count == of else middle + reach)


def at_most_probability(k: int, n: int, p: float) -> float:
    """The chance of k or fewer in n tries that succeed with p each."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    if k < n * p:
        return min(1.0, _tail(k, n, p))
    return max(0.0, 1.0 - _tail(n - k - 1, n, 1.0 - p))  # more than k successes: n - k - 1 or fewer failures


def _tail(k: int, n: int, p: float) -> float:
    """The chance of k or fewer, for k below the mean: terms fall from k on, and the first of no weight ends the sum."""
    log_choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = total = math.exp(log_choices + k * math.log(p) + (n - k) * math.log1p(-p))
    while k > 0 and term > total * _NO_WEIGHT:
        term *= k * (1 - p) / ((n - k + 1) * p)
        total += term
        k -= 1
    return total


def upper_bound(count: int, of: int, confidence: float) -> float:
    """Clopper and Pearson's one-sided bound: the rate is above it with a chance of at most 1 - confidence."""
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if at_most_probability(count, of, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def exact(count: int, of: int, confidence: float) -> Share:
    """A share with Clopper and Pearson's two-sided bounds."""
    if of == 0:
        return Share(0, 0, 0.0, 1.0)
    one_sided = 0.5 + confidence / 2
    return Share(count, of, 1.0 - upper_bound(of - count, of, one_sided), upper_bound(count, of, one_sided))


def allowed(n: int, rate: float, confidence: float) -> int | None:
    """How many of n rows may be above a threshold so that its true rate is at most `rate`, with this confidence.

    None when even zero of them would not show it.
    """
    if not shows(0, n, rate, confidence):
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shows(middle, n, rate, confidence) else (low, middle)
    return low


def shows(count: int, n: int, rate: float, confidence: float) -> bool:
    """Whether `count` in `n` is so few that a true rate above `rate` can be ruled out."""
    return at_most_probability(count, n, rate) <= 1 - confidence


def rows_needed(rate: float, confidence: float) -> int:
    """The fewest rows with which zero false alarms show the rate."""
    needed = max(1, math.ceil(math.log(1 - confidence) / math.log1p(-rate)) - 1)
    while not shows(0, needed, rate, confidence):
        needed += 1
    return needed
