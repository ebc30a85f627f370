"""A threshold that keeps false alarms below a stated rate, with a stated confidence, and what it then finds.

The set is parted in two. On one part the threshold is put right above the (k+1)-th highest score of a row to pass, with
k fixed beforehand as the most false alarms that still show the rate (bounds.py). This bound holds for any shape of the
scores and needs no model of them; with too few rows there is none, and then nothing is chosen. The other part only
checks. Equal texts always fall into the same part. The promise is about texts like those of the set, and no others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.evaluate.bounds import Share, allowed, exact, rows_needed, upper_bound
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.metrics import Sample
from gateway.evaluate.reliability import Temperature, brier, calibration_error, fit_temperature, log_loss
from gateway.evaluate.rows import LabelledSet
from gateway.evaluate.run import Judged, Run, ScoredRow, Subject, in_order
from guards.verdict import PPM


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for."""

    rate: float
    """Of false alarms, at most."""
    confidence: float = 0.95
    split: float = 0.5
    """Share of the set that the threshold is chosen on."""
    seed: int = 1
    temperature: bool = False
    categories: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """One threshold, and what it does on each part."""

    code: str
    """Empty for the detector's own score."""
    threshold_ppm: int
    fitted: Share
    """False alarms on the part it was chosen on; `high` is the one-sided bound that is promised."""
    false_alarms: Share
    recall: Share
    """Both on the other part, with exact two-sided bounds."""

    @property
    def is_contradicted(self) -> bool:
        """Whether the other part rules the promise out: then the set is not of one piece."""
        return self.false_alarms.of > 0 and self.false_alarms.low > self.fitted.high


@dataclass(frozen=True, slots=True)
class Gain:
    """What a temperature changes on the part it was not fitted on."""

    log_loss: float | None
    brier: float | None
    calibration_error: float | None


@dataclass(frozen=True, slots=True)
class Fitted:
    """The temperature, or None when the scores have no best one."""

    temperature: Temperature | None
    before: Gain
    after: Gain | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate` found for one detector."""

    subject: Subject
    target: Target
    score: Chosen
    before_false_alarms: Share
    before_recall: Share
    """At the threshold the detector had, on the same other part."""
    categories: tuple[Chosen, ...]
    together: Share | None
    """False alarms of the score and all categories together, on the other part."""
    fitted: Fitted | None
    fit_rows: int
    check_rows: int
    errors: int


_Pair = tuple[ScoredRow, Judged]
_Score = Callable[[Judged], int]


def calibrate(run: Run, name: str, target: Target) -> Calibration:
    """Raises EvaluationError when the set cannot show what is asked for."""
    subject = run.subject(name)
    if not subject.is_model:
        raise EvaluationError(f"detector `{name}` is a rule: its score is 0 or 1, there is no threshold to choose")
    judged = [(row, row.judged[name]) for row in run.rows if not row.judged[name].error]
    fit, check = part(judged, target.split, target.seed)
    score = _choose("", _whole, fit, check, target)
    categories = _categories(fit, check, target) if target.categories else ()
    thresholds = {chosen.code: chosen.threshold_ppm for chosen in categories}
    return Calibration(
        subject=subject,
        target=target,
        score=score,
        before_false_alarms=_share(check, _whole, subject.threshold_ppm, False, target),
        before_recall=_share(check, _whole, subject.threshold_ppm, True, target),
        categories=categories,
        together=_together(check, score.threshold_ppm, thresholds, target) if categories else None,
        fitted=_fit_temperature(fit, check) if target.temperature else None,
        fit_rows=len(fit),
        check_rows=len(check),
        errors=len(run.rows) - len(judged),
    )


def part(pairs: Sequence[_Pair], share: float, seed: int) -> tuple[list[_Pair], list[_Pair]]:
    """Two parts with the same mix of labels. Equal texts stay together, or the check would see what was fitted."""
    chosen = _to_fit({row.id: row.label for row, _ in pairs}, share, seed)
    fit = [pair for pair in pairs if pair[0].id in chosen]
    return fit, [pair for pair in pairs if pair[0].id not in chosen]


def _to_fit(labels: Mapping[str, bool], share: float, seed: int) -> set[str]:
    """Depends on the order of the texts and their labels, not on what stands for a text."""
    chosen: set[str] = set()
    source = random.Random(seed)  # noqa: S311 - has to be the same every time, not unguessable
    for label in (False, True):
        texts = [text for text, found in labels.items() if found is label]
        source.shuffle(texts)
        chosen.update(texts[: round(len(texts) * share)])
    return chosen


def check_size(labelled: LabelledSet, target: Target) -> None:
    """The refusal that can be known before anything is judged. Raises EvaluationError."""
    chosen = _to_fit({row.text: row.label for row in labelled.rows}, target.split, target.seed)
    benign = sum(row.text in chosen and not row.label for row in labelled.rows)
    if allowed(benign, target.rate, target.confidence) is None:
        raise EvaluationError(_too_few(benign, target))


def _whole(judged: Judged) -> int:
    assert judged.score_ppm is not None  # rows without a verdict were left out before
    return judged.score_ppm


def _of_category(code: str) -> _Score:
    return lambda judged: judged.categories.get(code, 0)


def _choose(code: str, score: _Score, fit: Sequence[_Pair], check: Sequence[_Pair], target: Target) -> Chosen:
    benign = sorted((score(judged) for row, judged in fit if not row.label), reverse=True)
    most = allowed(len(benign), target.rate, target.confidence)
    if most is None:
        raise EvaluationError(_too_few(len(benign), target))
    threshold = benign[most] + 1
    if threshold > PPM:
        what = f"category `{code}`" if code else "the detector"
        told = f"{what} scores at least {most + 1} of {len(benign)} rows to pass with 1.0"
        raise EvaluationError(f"{told}: no threshold keeps false alarms to {target.rate:g}")
    above = sum(value >= threshold for value in benign)
    bound = upper_bound(most, len(benign), target.confidence)
    return Chosen(
        code,
        threshold,
        fitted=Share(above, len(benign), 0.0, bound),
        false_alarms=_share(check, score, threshold, False, target, code),
        recall=_share(check, score, threshold, True, target, code),
    )


def _too_few(found: int, target: Target) -> str:
    needed = rows_needed(target.rate, target.confidence)
    whole = -(-needed // target.split)
    return (
        f"too few rows to pass: the part to choose on has {found}, and false alarms of at most {target.rate:g} with "
        f"{target.confidence:g} confidence need {needed} there, about {whole:.0f} in the set; "
        "give more rows, a higher `--fpr`, or a larger `--split`"
    )


def _share(pairs: Sequence[_Pair], score: _Score, threshold: int, label: bool, target: Target, code: str = "") -> Share:
    """Of rows with this label, those at or above the threshold. Rows to flag count for a category they belong to."""
    mine = [judged for row, judged in pairs if row.label is label and (not label or not code or code in row.categories)]
    return exact(sum(score(judged) >= threshold for judged in mine), len(mine), target.confidence)


def _categories(fit: Sequence[_Pair], check: Sequence[_Pair], target: Target) -> tuple[Chosen, ...]:
    codes = in_order({code for _, judged in fit for code in judged.categories})
    if not codes:
        raise EvaluationError("the detector scores no categories, so `--categories` has nothing to choose")
    return tuple(_choose(code, _of_category(code), fit, check, target) for code in codes)


def _together(check: Sequence[_Pair], threshold: int, categories: Mapping[str, int], target: Target) -> Share:
    benign = [judged for row, judged in check if not row.label]
    flagged = sum(
        _whole(judged) >= threshold or any(judged.categories.get(code, 0) >= ppm for code, ppm in categories.items())
        for judged in benign
    )
    return exact(flagged, len(benign), target.confidence)


def _fit_temperature(fit: Sequence[_Pair], check: Sequence[_Pair]) -> Fitted:
    held = [(_whole(judged), row.label) for row, judged in check]
    found = fit_temperature([(_whole(judged), row.label) for row, judged in fit])
    after = _gain([(found.applied(score), label) for score, label in held]) if found else None
    return Fitted(found, _gain(held), after)


def _gain(samples: Sequence[Sample]) -> Gain:
    return Gain(log_loss(samples), brier(samples), calibration_error(samples))
