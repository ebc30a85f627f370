"""One detector of a Run in numbers: the whole set, its groups and categories, calibration and speed.

Only rows with a verdict count in a share; those without are counted beside them, for each group too, because a guard
that fails on one language looks perfect there otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from gateway.evaluate.metrics import AtThreshold, Curve, Sample, Step, at_threshold, percentile
from gateway.evaluate.reliability import Bin, bins, brier, calibration_error
from gateway.evaluate.run import Judged, Run, ScoredRow, Subject, in_order
from guards.verdict import PPM

LOW_RATE: Final = Fraction(1, 100)
"""The false alarms at which recalls are compared."""
GROUPS: Final = ("source", "language", "role")
HISTOGRAM_BINS: Final = 20


@dataclass(frozen=True, slots=True)
class Quality:
    """How well rows are told apart."""

    rows: int
    """Judged rows."""
    positives: int
    errors: int
    auc: float | None
    average_precision: float | None
    low: AtThreshold | None
    """At the lowest threshold that keeps the false alarms seen within 1 %."""
    at: AtThreshold
    """At the detector's threshold."""


@dataclass(frozen=True, slots=True)
class CategoryQuality:
    """Rows that the set puts into one category."""

    code: str
    found: Quality
    """By the detector's score, against all rows to pass."""
    own: Quality | None
    """By the category's own score, against all rows that are known not to belong to it."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What a caller waits, and what many callers get."""

    alone: int
    """Rows the latency was taken from."""
    p50_us: int | None
    p95_us: int | None
    p99_us: int | None
    rows_per_s: float | None
    concurrency: int
    windows: int
    """Of all judged rows together."""
    most_windows: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything a report says of one detector."""

    subject: Subject
    quality: Quality
    curve: Curve
    brier: float | None
    calibration_error: float | None
    bins: tuple[Bin, ...]
    histogram: tuple[tuple[int, int], ...]
    """(rows to pass, rows to flag) with a score in each twentieth."""
    errors: tuple[tuple[str, int], ...]
    """By kind."""
    views: tuple[tuple[str, int], ...]
    """How often the score of each view counted, among flagged rows."""
    groups: tuple[tuple[str, tuple[tuple[str, Quality], ...]], ...]
    """(field, (value, quality)); a field that says nothing is left out."""
    categories: tuple[CategoryQuality, ...]
    speed: Speed


def measure(run: Run, name: str) -> Measured:
    """The numbers of one detector. Raises StopIteration for a name that is not in the run."""
    subject = run.subject(name)
    pairs = [(row, row.judged[name]) for row in run.rows]
    samples = _samples(pairs)
    flagged = [judged for _, judged in pairs if (judged.score_ppm or 0) >= subject.threshold_ppm and not judged.error]
    return Measured(
        subject=subject,
        quality=_quality(pairs, subject.threshold_ppm),
        curve=Curve.of(samples),
        brier=brier(samples),
        calibration_error=calibration_error(samples),
        bins=bins(samples),
        histogram=_histogram(samples),
        errors=_counted(judged.error for _, judged in pairs),
        views=_counted(judged.view for judged in flagged),
        groups=tuple((group, _grouped(pairs, group, subject)) for group in GROUPS if _says_something(run.rows, group)),
        categories=tuple(_category(pairs, code, subject) for code in _codes(run.rows)),
        speed=_speed([judged for _, judged in pairs], subject),
    )


_Pairs = Sequence[tuple[ScoredRow, Judged]]


def _samples(pairs: _Pairs) -> list[Sample]:
    return [(judged.score_ppm, row.label) for row, judged in pairs if judged.score_ppm is not None]


def _quality(pairs: _Pairs, threshold_ppm: int) -> Quality:
    return _of_samples(_samples(pairs), sum(bool(judged.error) for _, judged in pairs), threshold_ppm)


def _of_samples(samples: Sequence[Sample], errors: int, threshold_ppm: int) -> Quality:
    curve = Curve.of(samples)
    low: Step | None = curve.best_within(LOW_RATE) if curve.positives else None
    return Quality(
        rows=len(samples),
        positives=curve.positives,
        errors=errors,
        auc=curve.auc(),
        average_precision=curve.average_precision(),
        low=at_threshold(samples, low.threshold_ppm) if low else None,
        at=at_threshold(samples, threshold_ppm),
    )


def _grouped(pairs: _Pairs, group: str, subject: Subject) -> tuple[tuple[str, Quality], ...]:
    key = _KEYS[group]
    values = sorted({key(row) for row, _ in pairs})
    found = ((value, [pair for pair in pairs if key(pair[0]) == value]) for value in values)
    return tuple((value, _quality(mine, subject.threshold_ppm)) for value, mine in found)


_KEYS: Final[dict[str, Callable[[ScoredRow], str]]] = {
    "source": lambda row: row.source,
    "language": lambda row: row.language,
    "role": lambda row: row.role,
}


def _says_something(rows: Sequence[ScoredRow], group: str) -> bool:
    return len({_KEYS[group](row) for row in rows}) > 1


def _codes(rows: Sequence[ScoredRow]) -> list[str]:
    return in_order({code for row in rows for code in row.categories})


def _category(pairs: _Pairs, code: str, subject: Subject) -> CategoryQuality:
    mine = [pair for pair in pairs if not pair[0].label or code in pair[0].categories]
    # A row to flag whose category is not stated may well belong to this one: it tells nothing either way.
    known = [(row, judged) for row, judged in pairs if not row.label or row.categories]
    own = [
        (judged.categories[code], row.label and code in row.categories)
        for row, judged in known
        if code in judged.categories
    ]
    errors = sum(bool(judged.error) for _, judged in known)
    return CategoryQuality(
        code,
        _quality(mine, subject.threshold_ppm),
        _of_samples(own, errors, subject.category_threshold(code)) if own else None,
    )


def _histogram(samples: Sequence[Sample]) -> tuple[tuple[int, int], ...]:
    found = Counter((min(HISTOGRAM_BINS - 1, score * HISTOGRAM_BINS // PPM), label) for score, label in samples)
    return tuple((found[index, False], found[index, True]) for index in range(HISTOGRAM_BINS))


def _counted(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(name for name in names if name).most_common())


def _speed(judged: Sequence[Judged], subject: Subject) -> Speed:
    alone = [one.us for one in judged if one.alone and not one.error]
    p50, p95, p99 = (percentile(alone, percent) for percent in (50, 95, 99))
    windows = [one.windows for one in judged if not one.error]
    return Speed(
        len(alone), p50, p95, p99, subject.rows_per_s, subject.concurrency, sum(windows), max(windows, default=0)
    )
