"""What bench/gpu/all.py found, as tables for bench/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]


def written(found: Row) -> str:
    """Markdown. A part that was not run has no table."""
    known = found["machine"]
    blocks = [", ".join(f"{name} {value}" for name, value in known.items())]
    for name, part in found["parts"].items():
        ended = "had to be ended" if part["status"] is None else f"status {part['status']}"
        counts = "".join(f", {count} {kind}" for kind, count in part.get("counts", {}).items())
        blocks.append(f"**{name}**: {part.get('why', ended)}, {part['seconds']} s{counts}")
        table = TABLES.get(name.removeprefix("early-"))
        if table is not None and part["rows"]:
            blocks.append("\n".join(table(part["rows"])))
    return "\n\n".join(blocks) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |"


def _kernels(rows: Sequence[Row]) -> Iterable[str]:
    cells = [
        (row["shape"], row.get("precision", row.get("kept")), row.get("rows"), row["microseconds"], row["times_floor"])
        for row in rows
    ]
    return _table(("shape", "kept as", "rows", "µs", "times the floor"), cells)


def _engine(rows: Sequence[Row]) -> Iterable[str]:
    head = ("model", "kept as", "ms a step for 1, 8, 64 (times the floor)", "prompt, share of the matrix rate")
    more = ("first token of …, s", "guards beside chats", "peak, GB")
    return _table((*head, *more), [_model(row) for row in rows])


def _model(row: Row) -> Sequence[object]:
    name = (f"{row['shape']}, {row['layers']} layers", row["precision"])
    if "prefill" not in row:
        return *name, row["not_measured"], None, None, None, None
    steps = ", ".join(f"{one['ms']} ({one['times_floor']})" for one in row["decode"].values())
    first = ", ".join(f"{key.rsplit('_', 1)[1]}: {row[key]}" for key in row if key.startswith("first_token_s_"))
    beside = row.get("not_measured")
    if mixed := row.get("mixed"):
        beside = f"p50 {mixed['guard_p50_ms']}, p99 {mixed['guard_p99_ms']} ms; chats lose {mixed['chat_lost']:.0%}"
    return *name, steps, row["prefill"]["share_of_matrix_rate"], first, beside, row.get("peak_gb")


def _guards(rows: Sequence[Row]) -> Iterable[str]:
    columns = ("shape", "precision", "messages_per_s", "share_of_matrix_rate", "p50_ms_64", "p50_ms_512")
    return _table([column.replace("_", " ") for column in columns], [[row.get(one) for one in columns] for row in rows])


TABLES = {"kernels": _kernels, "engine": _engine, "guards": _guards}
