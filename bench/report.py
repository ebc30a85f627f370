"""Rows of measurements to tables in Markdown: medians, and the lowest and highest of the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bench.peers import DIRECT

Row = Mapping[str, float | int | str]


def median(rows: Sequence[Row], name: str) -> float:
    """Of the rows that have it; 0 for none."""
    values = [float(row[name]) for row in rows if name in row]
    return statistics.median(values) if values else 0.0


def spread(rows: Sequence[Row], name: str, digits: int, less: float = 0.0) -> str:
    """`median (lowest..highest)`, each less a base."""
    values = sorted(float(row[name]) - less for row in rows if name in row)
    if not values:
        return "-"
    low, middle, high = (f"{value:.{digits}f}" for value in (values[0], statistics.median(values), values[-1]))
    return middle if len(values) == 1 else f"{middle} ({low}..{high})"


def progress(row: Row) -> str:
    """One line while it runs."""
    if "failed" in row:
        return f"round {row['round']}: {row['gateway']}: failed: {row['failed']}"
    errors = sum(int(value) for name, value in row.items() if name.endswith("_errors"))
    cpu = row.get("c16_cpu_per_1000", "-")
    problem = next((f", {value}" for name, value in row.items() if name.endswith("first_error")), "")
    return (
        f"round {row['round']}: {row['gateway']}: {cpu} CPU s per 1,000 at c=16, {row['c16_rps']} rps, "
        f"{errors} errors{problem}, others used {row['c16_others']} cores"
    )


def tables(rows: Sequence[Row]) -> str:
    """Both tables."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        if "failed" not in row:
            grouped.setdefault(str(row["gateway"]), []).append(row)
    return f"\n{_unary(grouped)}\n{_streamed(grouped)}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _unary(grouped: Mapping[str, Sequence[Row]]) -> str:
    head = ["gateway", "CPU s per 1,000, c=1", "c=16", "c=64", "rps, c=1", "c=16", "c=64"]
    head += ["added p50 ms, c=1", "p99", "added p50 ms, c=16", "p99", "added p50 ms, c=64", "p99", "RSS MiB"]
    lines = []
    for name, rows in grouped.items():
        line = [name]
        line += [spread(rows, f"c{c}_cpu_per_1000", 3) for c in (1, 16, 64)]
        line += [spread(rows, f"c{c}_rps", 0) for c in (1, 16, 64)]
        line += [_over_direct(grouped, name, f"c{c}_{p}_ms") for c in (1, 16, 64) for p in ("p50", "p99")]
        lines.append([*line, spread(rows, "rss_mib", 0)])
    return _table(head, lines)


def _streamed(grouped: Mapping[str, Sequence[Row]]) -> str:
    head = ["gateway", "CPU s per 1,000 chunks", "added first text p50 ms", "p99", "added whole answer p50 ms", "p99"]
    names = ("first_p50", "first_p99", "p50", "p99")
    lines = [
        [name, spread(rows, "stream_cpu_per_1000", 3), *(_over_direct(grouped, name, f"stream_{n}_ms") for n in names)]
        for name, rows in grouped.items()
    ]
    return _table(head, lines)


def _over_direct(grouped: Mapping[str, Sequence[Row]], name: str, field: str) -> str:
    """Latency above that of the model server itself; the row of the latter has its own."""
    base = median(grouped.get(DIRECT, ()), field) if name != DIRECT else 0.0
    return spread(grouped[name], field, 2, base)
