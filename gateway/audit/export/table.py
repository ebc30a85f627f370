"""Records as rows of a spreadsheet (RFC 4180).

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and some cells (the model that was asked
for) hold what a client sent. Such cells get an apostrophe in front, which spreadsheets do not show.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Final

from gateway.audit.export.view import View, printable

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS: Final[Mapping[str, Callable[[View], object]]] = {
    "seq": lambda view: view.seq,
    "time": lambda view: view.time,
    "ts_ns": lambda view: view.ts_ns,
    "type": lambda view: view.type,
    "stage": lambda view: view.text("stage"),
    "request": lambda view: view.text("req"),
    "tenant": lambda view: view.text("tenant"),
    "app": lambda view: view.text("app"),
    "actor": lambda view: view.who,
    "model": lambda view: view.model,
    "upstream": lambda view: view.text("target", "upstream"),
    "policy": lambda view: view.text("policy", "name"),
    "policy_version": lambda view: view.text("policy", "version"),
    "policy_digest": lambda view: view.policy_digest,
    "outcome": lambda view: view.outcome,
    "action": lambda view: view.action,
    "code": lambda view: view.code,
    "rules": lambda view: " ".join(view.rules),
    "flags": lambda view: " ".join(view.flags),
    "scores_ppm": lambda view: " ".join(f"{name}={ppm}" for name, ppm in sorted(view.highest.items())),
    "guard_errors": lambda view: " ".join(f"{score.detector}={score.error}" for score in view.scores if score.error),
    "status": lambda view: view.number("http", "status"),
    "tokens_in": lambda view: view.tokens_in,
    "tokens_out": lambda view: view.tokens_out,
    "origin": lambda view: view.origin,
    "prev": lambda view: view.text("prev"),
    "leaf": lambda view: view.leaf,
}
HEADER: Final = (",".join(_COLUMNS) + "\r\n").encode()


def row(view: View) -> bytes:
    """One row with its line end."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_cell(read(view)) for read in _COLUMNS.values()])
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    return f"'{printable(value)}" if value.startswith(_FORMULA) else printable(value)
