"""A Run as one JSON object: every number that the other reports show, for scripts and for comparing two runs.

Shares come as count, of, low and high, so that nobody has to guess what a percentage was taken from.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.evaluate.bounds import Share
from gateway.evaluate.calibrate import Calibration, Chosen, Gain
from gateway.evaluate.measured import Measured, Quality, measure
from gateway.evaluate.metrics import AtThreshold
from gateway.evaluate.run import Run
from gateway.jsonstrict import Json

FORMAT = "eval/v1"


def as_json(run: Run, measured: Sequence[Measured]) -> dict[str, Json]:
    return {
        "gatehouse": FORMAT,
        "date": run.date,
        "version": run.version,
        "hardware": run.hardware,
        "set": run.set_name,
        "set_digest": run.set_digest,
        "rows": len(run.rows),
        "texts": len({row.id for row in run.rows}),
        "policy": run.policy,
        "ignored": dict(run.ignored),
        "detectors": [_detector(one) for one in measured],
    }


def measure_all(run: Run) -> list[Measured]:
    return [measure(run, subject.name) for subject in run.subjects]


def _detector(found: Measured) -> Json:
    subject, speed = found.subject, found.speed
    return {
        "name": subject.name,
        "use": subject.use,
        "guard": subject.version,
        "weights": subject.weights,
        "threshold_ppm": subject.threshold_ppm,
        "threshold_from": subject.threshold_from,
        **_quality(found.quality),
        "errors_by_kind": dict(found.errors),
        "views_of_flagged": dict(found.views),
        "brier": _rounded(found.brier),
        "calibration_error": _rounded(found.calibration_error),
        "reliability": [
            {
                "low": one.low,
                "high": one.high,
                "rows": one.rows,
                "mean_score": round(one.mean_score, 6),
                "share": round(one.share, 6),
            }
            for one in found.bins
        ],
        "groups": {group: {value: _quality(quality) for value, quality in rows} for group, rows in found.groups},
        "categories": {
            one.code: {"by_score": _quality(one.found), "by_category_score": _quality(one.own) if one.own else None}
            for one in found.categories
        },
        "latency": {"rows": speed.alone, "p50_us": speed.p50_us, "p95_us": speed.p95_us, "p99_us": speed.p99_us},
        "throughput": {"rows_per_s": _rounded(speed.rows_per_s), "concurrency": speed.concurrency},
        "windows": {"all": speed.windows, "most_of_a_row": speed.most_windows},
    }


def _quality(quality: Quality) -> dict[str, Json]:
    return {
        "rows": quality.rows,
        "positives": quality.positives,
        "errors": quality.errors,
        "auc": _rounded(quality.auc),
        "average_precision": _rounded(quality.average_precision),
        "at_1_percent_false_alarms": _at(quality.low) if quality.low else None,
        "at_threshold": _at(quality.at),
    }


def _at(found: AtThreshold) -> Json:
    return {
        "threshold_ppm": found.threshold_ppm,
        "precision": _share(found.precision),
        "recall": _share(found.recall),
        "false_alarms": _share(found.false_alarms),
        "f1": _rounded(found.f1),
    }


def calibration_as_json(run: Run, found: Calibration, policy_snippet: str) -> dict[str, Json]:
    target, fitted = found.target, found.fitted
    best = fitted.temperature if fitted else None
    return {
        "gatehouse": "calibrate/v1",
        "date": run.date,
        "version": run.version,
        "set": run.set_name,
        "set_digest": run.set_digest,
        "rows": {"all": len(run.rows), "fit": found.fit_rows, "check": found.check_rows, "errors": found.errors},
        "detector": found.subject.name,
        "use": found.subject.use,
        "weights": found.subject.weights,
        "rate": target.rate,
        "confidence": target.confidence,
        "split": target.split,
        "seed": target.seed,
        "score": _chosen(found.score),
        "before": {
            "threshold_ppm": found.subject.threshold_ppm,
            "false_alarms": _share(found.before_false_alarms),
            "recall": _share(found.before_recall),
        },
        "categories": {chosen.code: _chosen(chosen) for chosen in found.categories},
        "false_alarms_together": _share(found.together) if found.together else None,
        "temperature": {
            "temperature": best.temperature if best else None,
            "bias": best.bias if best else None,
            "before": _gain(fitted.before),
            "after": _gain(fitted.after) if fitted.after else None,
            "is_in_the_policy": False,
        }
        if fitted
        else None,
        "policy_snippet": policy_snippet,
    }


def _chosen(chosen: Chosen) -> Json:
    return {
        "threshold_ppm": chosen.threshold_ppm,
        "fitted": _share(chosen.fitted),
        "false_alarms": _share(chosen.false_alarms),
        "recall": _share(chosen.recall),
        "is_contradicted": chosen.is_contradicted,
    }


def _gain(gain: Gain) -> Json:
    return {
        "log_loss": _rounded(gain.log_loss),
        "brier": _rounded(gain.brier),
        "calibration_error": _rounded(gain.calibration_error),
    }


def _share(share: Share) -> Json:
    return {"count": share.count, "of": share.of, "low": round(share.low, 6), "high": round(share.high, 6)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
