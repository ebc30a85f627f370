"""The reports of `eval` and `calibrate` as a person reads them in a terminal.

A share is shown as `0.912 [0.880, 0.936] 310/340`: value, 95 % bounds, counts. `-` is what the set cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.evaluate.bounds import Share
from gateway.evaluate.calibrate import Calibration, Chosen, Gain
from gateway.evaluate.measured import CategoryQuality, Measured, Quality
from gateway.evaluate.run import Run
from gateway.evaluate.snippet import decimal
from guards.verdict import PPM


def as_text(run: Run, measured: Sequence[Measured]) -> str:
    return "\n".join([*heading(run), *(line for one in measured for line in _detector(one))])


def heading(run: Run) -> list[str]:
    """What was judged, where and when."""
    texts = len({row.id for row in run.rows})
    flag = sum(row.label for row in run.rows)
    ignored = ", ".join(f"{name} ({rows})" for name, rows in run.ignored)
    return [
        f"set       {run.set_name}: {len(run.rows)} rows, {texts} different texts, {flag} to flag, "
        f"{len(run.rows) - flag} to pass",
        f"          {run.set_digest}",
        *([f"          fields left aside: {ignored}"] if ignored else []),
        *([f"policy    {run.policy}"] if run.policy else []),
        f"made      {run.date} by Gatehouse {run.version}",
        f"          {run.hardware}",
    ]


def _detector(found: Measured) -> Iterator[str]:
    subject, quality = found.subject, found.quality
    yield f"\n{subject.name}  ({subject.use}, {subject.version})"
    if subject.weights:
        yield f"  weights              {subject.weights}"
    yield f"  judged               {quality.rows} rows" + (f", NOT judged: {quality.errors}" if quality.errors else "")
    for kind, count in found.errors:
        yield f"    {kind:<18} {count}"
    yield f"  AUC                  {number(quality.auc)}"
    yield f"  average precision    {number(quality.average_precision)}"
    if quality.low:
        yield f"  recall at 1 % FPR    {share(quality.low.recall)}  (threshold {threshold(quality.low.threshold_ppm)})"
    at = quality.at
    yield f"  at threshold         {threshold(at.threshold_ppm)} ({subject.threshold_from})"
    yield f"    precision          {share(at.precision)}"
    yield f"    recall             {share(at.recall)}"
    yield f"    F1                 {number(at.f1)}"
    yield f"    false alarms       {share(at.false_alarms)}"
    yield f"  Brier, ECE           {number(found.brier)}, {number(found.calibration_error)}"
    yield from _speed(found)
    for group, rows in found.groups:
        yield from table(["  by " + group, *_QUALITY_HEAD], [["  " + (value or "-"), *cells(q)] for value, q in rows])
    if found.categories:
        yield from table(
            ["  by category", "to flag", "recall", "own AUC", "own AP", "own recall", "own false alarms"],
            [["  " + one.code, *category_cells(one)] for one in found.categories],
        )


def _speed(found: Measured) -> Iterator[str]:
    speed = found.speed
    if speed.alone:
        times = ", ".join(
            f"p{p} {duration(us)}" for p, us in ((50, speed.p50_us), (95, speed.p95_us), (99, speed.p99_us))
        )
        yield f"  latency              {times}  ({speed.alone} rows, one at a time)"
    if speed.rows_per_s is not None:
        yield f"  throughput           {speed.rows_per_s:.1f} rows/s  ({speed.concurrency} at a time)"
    yield f"  windows              {speed.windows}, at most {speed.most_windows} in a row"
    if found.views:
        yield "  flagged by view      " + ", ".join(f"{view} {count}" for view, count in found.views)


_QUALITY_HEAD = ["rows", "to flag", "AUC", "recall", "false alarms", "errors"]


def cells(quality: Quality) -> list[str]:
    """One row of a table of groups."""
    at = quality.at
    return [
        str(quality.rows),
        str(quality.positives),
        number(quality.auc),
        share(at.recall),
        share(at.false_alarms),
        str(quality.errors),
    ]


def category_cells(found: CategoryQuality) -> list[str]:
    own = found.own
    mine = [str(found.found.positives), share(found.found.at.recall)]
    if own is None:
        return [*mine, "-", "-", "-", "-"]
    return [*mine, number(own.auc), number(own.average_precision), share(own.at.recall), share(own.at.false_alarms)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def share(found: Share) -> str:
    if found.value is None:
        return "-"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] {found.count}/{found.of}"


def threshold(ppm: int) -> str:
    return decimal(ppm) if ppm <= PPM else "none: the highest scores are false alarms"


def duration(us: int | None) -> str:
    """Microseconds where milliseconds would show nothing."""
    if us is None:
        return "-"
    return f"{us} µs" if us < 1000 else f"{us / 1000:.1f} ms"


def calibration_as_text(run: Run, found: Calibration, policy_snippet: str) -> str:
    target, subject = found.target, found.subject
    lines = [
        *heading(run),
        f"\n{subject.name}  ({subject.use}): at most {target.rate:g} of texts to pass flagged, with "
        f"{target.confidence:g} confidence",
        f"  chosen on {found.fit_rows} rows, checked on the other {found.check_rows}"
        + (f"; NOT judged: {found.errors}" if found.errors else ""),
        *table(
            ["  threshold", "", "false alarms seen, bound", "false alarms on the others", "recall on the others"],
            [
                *(_chosen_cells(chosen) for chosen in (found.score, *found.categories)),
                ["  before", decimal(subject.threshold_ppm), "", share(found.before_false_alarms),
                 share(found.before_recall)],
            ],
        ),
    ]  # fmt: skip
    if found.together:
        lines.append(f"  score or any category: false alarms {share(found.together)}")
    if any(chosen.is_contradicted for chosen in (found.score, *found.categories)):
        lines.append(
            "  the other rows rule the stated rate out: the set is not of one piece; do not use this threshold"
        )
    lines += _temperature(found)
    return "\n".join([*lines, "\nfor `detectors:` of a policy:\n", policy_snippet])


def _chosen_cells(chosen: Chosen) -> list[str]:
    fitted = chosen.fitted
    return [
        "  " + (chosen.code or "chosen"),
        decimal(chosen.threshold_ppm),
        f"{fitted.count}/{fitted.of}, {fitted.high:.4f}",
        share(chosen.false_alarms),
        share(chosen.recall),
    ]


def _temperature(found: Calibration) -> list[str]:
    fitted = found.fitted
    if fitted is None:
        return []
    if fitted.temperature is None or fitted.after is None:
        return ["  temperature: none fits best, because one class is missing or a line parts the classes"]
    best = fitted.temperature
    return [
        f"  temperature {best.temperature:.4f}, bias {best.bias:.4f}: {_gain(fitted.before)} -> {_gain(fitted.after)}",
        "  the policy language has no field for a temperature: the threshold is for raw scores, whose order it keeps",
    ]


def _gain(gain: Gain) -> str:
    return f"NLL {number(gain.log_loss)}, Brier {number(gain.brier)}, ECE {number(gain.calibration_error)}"
