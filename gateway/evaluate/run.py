"""What an evaluation found, as values: which set, which detectors, and what each said of each row. No text is in it.

A Run is made by judging (runner.py) or read back from a scores file (scores.py); every report is computed from one, so
that numbers can be made again, and argued about, without the models and without the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from guards.verdict import PPM


def _none() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Judged:
    """What one detector said of one row: a score, or the kind of error that kept it from one."""

    score_ppm: int | None
    error: str = ""
    categories: Mapping[str, int] = field(default_factory=_none)
    windows: int = 0
    view: str = ""
    us: int = 0
    """Microseconds until the caller had it."""
    alone: bool = False
    """Whether nothing else was being judged meanwhile: only then is `us` a latency."""

    def __post_init__(self) -> None:
        if (self.score_ppm is None) == (not self.error):
            raise ValueError("expected either a score or an error")
        scores = [self.score_ppm or 0, *self.categories.values()]
        if not all(0 <= score <= PPM for score in scores) or self.windows < 0 or self.us < 0:
            raise ValueError(f"expected scores of 0 to {PPM} ppm, and windows and time of at least 0")


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One row of the set, without its text."""

    line: int
    id: str
    """Equal for equal texts of this run, and good for nothing else: its key was thrown away."""
    label: bool
    judged: Mapping[str, Judged]
    """By detector; every detector of the run is in it."""
    categories: tuple[str, ...] = ()
    language: str = ""
    source: str = ""
    role: str = "user"


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector that is evaluated."""

    name: str
    use: str
    version: str
    weights: str
    """`sha256:…`; empty for rules and for servers that do not say."""
    threshold_ppm: int
    threshold_from: str
    """Who says so: `policy`, `model card`, `command line`, `default`."""
    is_model: bool
    category_ppm: Mapping[str, int] = field(default_factory=_none)
    """Thresholds of the categories that have one of their own."""
    rows: int = 0
    """How many rows were judged at the same time as others, for the throughput."""
    wall_us: int = 0
    """How long they took together."""
    concurrency: int = 0
    timeout_ms: int = 0
    """Of the policy; 0 when there is none. The evaluation has its own."""
    options: tuple[str, ...] = ()
    """Names of the other options that the policy gives it."""

    def category_threshold(self, code: str) -> int:
        return self.category_ppm.get(code, self.threshold_ppm)

    @property
    def rows_per_s(self) -> float | None:
        return self.rows * 1e6 / self.wall_us if self.rows and self.wall_us else None


@dataclass(frozen=True, slots=True)
class Run:
    """One set, judged."""

    date: str
    """ISO 8601, UTC."""
    version: str
    """Of Gatehouse."""
    hardware: str
    set_name: str
    set_digest: str
    policy: str
    """Name, version and digest of the policy; empty when detectors were named directly."""
    subjects: tuple[Subject, ...]
    rows: tuple[ScoredRow, ...]
    ignored: tuple[tuple[str, int], ...] = ()

    def subject(self, name: str) -> Subject:
        return next(subject for subject in self.subjects if subject.name == name)

    @property
    def errors(self) -> int:
        """Verdicts that are missing, of all detectors."""
        return sum(bool(judged.error) for row in self.rows for judged in row.judged.values())


def in_order(codes: Iterable[str]) -> list[str]:
    """Sorted as people count: S2 before S10."""
    return sorted(codes, key=lambda code: (code.rstrip("0123456789"), len(code), code))
