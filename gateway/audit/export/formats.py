"""The forms in which records leave, by name, and how a stream of them is written with the memory of one record.

A line of the log that is no record (it was tampered with, or the disk failed) is in no mapped form; it is counted, and
whoever exports learns that `audit verify` has to be asked. `jsonl` is the stored bytes, whatever they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from gateway.audit.errors import RecordError
from gateway.audit.export import cef, ocsf, otel, parquet, table
from gateway.audit.export.view import View
from gateway.audit.record import parse_line


@dataclass(slots=True)
class Exported:
    """What was written."""

    records: int = 0
    unreadable: int = field(default=0)
    """Lines that are no records."""


def _events(view: View) -> bytes:
    return b"".join(map(_json, ocsf.events(view)))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


_LINES: Final[Mapping[str, Callable[[View], bytes]]] = {
    "csv": table.row,
    "ocsf": _events,
    "cef": cef.line,
    "otel": lambda view: _json(otel.message(view)),
}
FORMATS: Final = ("jsonl", *_LINES, "parquet")


def export(lines: Iterable[bytes], name: str, out: BinaryIO) -> Exported:
    """Write stored lines in one of FORMATS. Raises ExportError, or OSError."""
    done = Exported()
    if name == "jsonl":
        for line in lines:
            out.write(line + b"\n")
            done.records += 1
    elif name == "parquet":
        done.records = parquet.write(_views(lines, done), out)
    else:
        out.write(table.HEADER if name == "csv" else b"")
        for view in _views(lines, done):
            out.write(_LINES[name](view))
            done.records += 1
    return done


def _views(lines: Iterable[bytes], done: Exported) -> Iterator[View]:
    for line in lines:
        try:
            yield View(parse_line(line), line)
        except RecordError:
            done.unreadable += 1
