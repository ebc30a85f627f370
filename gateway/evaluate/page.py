"""The report as one HTML file: tables and plots, readable offline, in the light and in the dark.

The file asks for nothing: its policy forbids every source, it has no script, and it is well-formed XML. Everything
that comes from a set or a configuration is escaped, and names were checked to be printable when they were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gateway.evaluate import svg, text
from gateway.evaluate.bounds import wilson
from gateway.evaluate.measured import Measured
from gateway.evaluate.run import Run
from gateway.evaluate.svg import Axes
from guards.verdict import PPM

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --page: #fff; --faint: #d8dbe0; --dim: #5c6570; --flag: #c0392b;
  --pass: #2471a3; --mark: #b9770e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --page: #16181b; --faint: #363b42; --dim: #9aa3ad;
  --flag: #ff7b6b; --pass: #6cb8f0; --mark: #f0b450; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2em auto;
  max-width: 74em; padding: 0 1em; }
h1 { font-size: 1.4em; } h2 { margin-top: 2em; border-bottom: 1px solid var(--faint); } h3 { margin-bottom: .3em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .15em 1.2em .15em 0; border-bottom: 1px solid var(--faint); white-space: nowrap; }
th { color: var(--dim); font-weight: normal; } pre { white-space: pre-wrap; color: var(--dim); }
.bad { color: var(--flag); font-weight: bold; } svg { max-width: 100%; height: auto; margin: .5em 1em .5em 0; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; } svg .head { font-size: 13px; }
svg .tick { font-size: 11px; fill: var(--dim); }
svg .grid { stroke: var(--faint); fill: none; }
svg .even { stroke: var(--dim); stroke-dasharray: 4 4; fill: none; }
svg .reach { stroke: var(--dim); fill: none; }
svg .curve { stroke: var(--pass); stroke-width: 2; fill: none; }
svg .limit { stroke: var(--mark); stroke-width: 2; fill: none; }
svg .here { fill: var(--mark); } svg .flag { fill: var(--flag); } svg .pass { fill: var(--pass); }
.key { font-size: .9em; color: var(--dim); }
"""
_HEAD = (
    '<meta charset="utf-8"/><meta name="viewport" content="width=device-width"/>'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
)


def as_html(run: Run, measured: Sequence[Measured]) -> str:
    title = f"Gatehouse evaluation: {', '.join(one.subject.name for one in measured)} on {run.set_name}"
    body = [f"<h1>{escape(title)}</h1>", f"<pre>{escape(chr(10).join(text.heading(run)))}</pre>"]
    body += [part for one in measured for part in _detector(one)]
    body.append(f'<p class="key">{escape(_LEGEND)}</p>')
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head>{_HEAD}<title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


_COLOURS = "Red: texts to flag. Blue: texts to pass. Yellow: the threshold. Grey uprights: 95 % bounds."
_LEGEND = (
    "Shares are followed by their 95 % bounds (Wilson) and the counts behind them. Rows without a verdict are in no "
    "share; they are counted as errors. A dash is what this set cannot tell. FPR: the share of texts to pass that was "
    "flagged."
)


def _detector(found: Measured) -> list[str]:
    subject = found.subject
    parts = [f"<h2>{escape(subject.name)}</h2>", _summary(found)]
    if found.curve.positives and found.curve.negatives:
        parts.append(f"<div>{_roc(found)}{_precision(found)}</div><div>{_reliability(found)}{_histogram(found)}</div>")
        parts.append(f'<p class="key">{_COLOURS}</p>')
    head = ("rows", "to flag", "AUC", "recall", "FPR", "errors")
    for group, rows in found.groups:
        cells = [[value or "-", *text.cells(quality)] for value, quality in rows]
        parts.append(f"<h3>By {group}</h3>{_table((group, *head), cells)}")
    if found.categories:
        columns = ("category", "to flag", "recall", "own AUC", "own AP", "own recall", "own FPR")
        lines = [[one.code, *text.category_cells(one)] for one in found.categories]
        parts.append(f"<h3>By category</h3>{_table(columns, lines)}")
    bins = [
        [f"{one.low:.1f} to {one.high:.1f}", str(one.rows), f"{one.mean_score:.4f}", f"{one.share:.4f}"]
        for one in found.bins
    ]
    parts.append(f"<h3>Reliability</h3>{_table(('score', 'rows', 'mean score', 'share to flag'), bins)}")
    return parts


def _summary(found: Measured) -> str:
    subject, quality, speed = found.subject, found.quality, found.speed
    at, low = quality.at, quality.low
    errors = ", ".join(f"{kind} {count}" for kind, count in found.errors)
    lines = [
        ("guard", f"{subject.use}, {subject.version}"),
        ("weights", subject.weights or "-"),
        ("rows judged", str(quality.rows)),
        ("AUC", text.number(quality.auc)),
        ("average precision", text.number(quality.average_precision)),
        ("recall at 1 % FPR", f"{text.share(low.recall)} from {text.threshold(low.threshold_ppm)}" if low else "-"),
        ("threshold", f"{text.threshold(at.threshold_ppm)} ({subject.threshold_from})"),
        ("precision", text.share(at.precision)),
        ("recall", text.share(at.recall)),
        ("F1", text.number(at.f1)),
        ("FPR", text.share(at.false_alarms)),
        ("Brier score", text.number(found.brier)),
        ("expected calibration error", text.number(found.calibration_error)),
        ("latency p50, p95, p99", ", ".join(map(text.duration, (speed.p50_us, speed.p95_us, speed.p99_us)))),
        ("latency from", f"{speed.alone} rows, one at a time"),
        ("throughput", _throughput(found)),
        ("windows", f"{speed.windows}, at most {speed.most_windows} in a row"),
    ]
    failed = f'<p class="bad">{quality.errors} rows were not judged: {escape(errors)}</p>' if quality.errors else ""
    return failed + _table((), lines)


def _throughput(found: Measured) -> str:
    speed = found.speed
    return "-" if speed.rows_per_s is None else f"{speed.rows_per_s:.1f} rows/s, {speed.concurrency} at a time"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}{body}</table></div>'


def _roc(found: Measured) -> str:
    axes, curve, at = Axes("ROC", "FPR", "recall"), found.curve, found.quality.at
    points = [(step.false / curve.negatives, step.true / curve.positives) for step in curve.steps]
    here = (at.false_alarms.value or 0.0, at.recall.value or 0.0)
    return svg.plot(
        axes,
        [
            svg.line(axes, [(0, 0), (1, 1)], "even"),
            svg.line(axes, [(0, 0), *points], "curve"),
            svg.dot(axes, here, "here", told=f"threshold {text.threshold(at.threshold_ppm)}"),
        ],
    )


def _precision(found: Measured) -> str:
    axes, curve, at = Axes("Precision and recall", "recall", "precision"), found.curve, found.quality.at
    points = [(step.true / curve.positives, step.true / (step.true + step.false)) for step in curve.steps]
    base = curve.positives / (curve.positives + curve.negatives)
    marks = [svg.line(axes, [(0, base), (1, base)], "even"), svg.line(axes, points, "curve")]
    if at.precision.value is not None:
        here = (at.recall.value or 0.0, at.precision.value)
        marks.append(svg.dot(axes, here, "here", told=f"threshold {text.threshold(at.threshold_ppm)}"))
    return svg.plot(axes, marks)


def _reliability(found: Measured) -> str:
    axes = Axes("Reliability: what a score means", "mean score of the bin", "share to flag")
    rows = sum(one.rows for one in found.bins)
    points = [(one.mean_score, one.share) for one in found.bins]
    dots = [
        svg.dot(axes, point, "pass", 3 + 7 * (one.rows / rows) ** 0.5, f"{one.rows} rows")
        for point, one in zip(points, found.bins, strict=True)
    ]
    bounds = [wilson(round(one.share * one.rows), one.rows) for one in found.bins]
    reach = [
        svg.line(axes, [(one.mean_score, bound.low), (one.mean_score, bound.high)], "reach")
        for one, bound in zip(found.bins, bounds, strict=True)
    ]
    return svg.plot(axes, [svg.line(axes, [(0, 0), (1, 1)], "even"), *reach, svg.line(axes, points, "curve"), *dots])


def _histogram(found: Measured) -> str:
    sizes = (found.curve.negatives, found.curve.positives)
    shares = [tuple(count / size for count, size in zip(one, sizes, strict=True)) for one in found.histogram]
    axes = Axes("Scores by class", "score", "share of the class", y_most=max(max(pair) for pair in shares))
    step = 1 / len(shares)
    bars = [
        svg.bar(axes, (index + side / 2) * step, (index + (side + 1) / 2) * step, pair[side], kind)
        for index, pair in enumerate(shares)
        for side, kind in enumerate(("pass", "flag"))
    ]
    at = found.quality.at.threshold_ppm
    return svg.plot(axes, [*bars, svg.upright(axes, at / PPM, "limit", f"threshold {text.threshold(at)}")])
