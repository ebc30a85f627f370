"""A calibrated detector as YAML, to paste under `detectors:` of a policy.

Everything that loads is in the entry; everything that a reader should know of its origin is in comments above it. A
fitted temperature is a comment only: the policy language has no field for it, and a field it does not know would be
refused. Other options of the detector are not repeated: what the policy made of them need not be how it wrote them.
Thresholds are written to the millionth, as the policy stores them.
"""

from __future__ import annotations

import json

from gateway.evaluate.calibrate import Calibration, Chosen
from gateway.evaluate.run import Run
from guards.verdict import PPM


def decimal(ppm: int) -> str:
    """Parts per million as a policy writes them: six decimals, exact."""
    return f"{ppm // PPM}.{ppm % PPM:06d}"


def snippet(run: Run, found: Calibration) -> str:
    """The entry, indented by two, with its comments."""
    subject, target = found.subject, found.target
    lines = [
        f"  # chosen by `gatehouse calibrate` {run.version}, {run.date[:10]}, on {run.set_name}, {len(run.rows)} rows",
        f"  #   {run.set_digest}",
        f"  # weights {subject.weights or 'not named'}",
        f"  # on texts like these, at most {target.rate:g} of those to pass are flagged, with {target.confidence:g} "
        "confidence:",
        f"  #   {_fitted(found.score)}; split {target.split:g}, seed {target.seed}",
        f"  #   on the other rows: {_checked(found.score)}",
        *([_temperature(found)] if found.fitted else []),
        *(
            ["  # the entry in the policy has other options, which are not repeated here: keep them"]
            if subject.options
            else []
        ),
        f"  {subject.name}:",
        f"    use: {subject.use}",
        f"    threshold: {decimal(found.score.threshold_ppm)}",
        *([f"    timeout: {subject.timeout_ms}ms"] if subject.timeout_ms else []),
        *_category_lines(found),
    ]
    return "\n".join(lines) + "\n"


def _fitted(chosen: Chosen) -> str:
    share = chosen.fitted
    return f"{share.count} of {share.of} rows to pass at or above it, bound {share.high:.4f}"


def _checked(chosen: Chosen) -> str:
    alarms, recall = chosen.false_alarms, chosen.recall
    return (
        f"false alarms {alarms.count} of {alarms.of} ({alarms.low:.4f} to {alarms.high:.4f}), "
        f"found {recall.count} of {recall.of} ({recall.low:.3f} to {recall.high:.3f})"
    )


def _temperature(found: Calibration) -> str:
    assert found.fitted is not None
    best = found.fitted.temperature
    if best is None:
        return "  # no temperature fits these scores best: one class is missing, or a line parts the classes"
    return (
        f"  # fitted temperature {best.temperature:.4f}, bias {best.bias:.4f}: not in the policy, which compares raw "
        "scores; it changes no order"
    )


def _category_lines(found: Calibration) -> list[str]:
    """All codes when they were calibrated; else those the policy had."""
    if found.categories:
        comments = [f"      # {_key(chosen.code)}: {_checked(chosen)}" for chosen in found.categories]
        pairs = [f"      {_key(chosen.code)}: {decimal(chosen.threshold_ppm)}" for chosen in found.categories]
        return [
            *_together(found),
            "    categories:",
            *(line for both in zip(comments, pairs, strict=True) for line in both),
        ]
    kept = sorted(found.subject.category_ppm.items())
    return ["    categories:", *(f"      {_key(code)}: {decimal(ppm)}" for code, ppm in kept)] if kept else []


def _together(found: Calibration) -> list[str]:
    alarms = found.together
    told = f", so all of them together pass fewer: false alarms {alarms.count} of {alarms.of}" if alarms else ""
    return [f"    # each keeps the rate by itself{told} on the other rows"]


def _key(code: str) -> str:
    return code if code.isascii() and code.isalnum() and code[0].isalpha() else json.dumps(code)
