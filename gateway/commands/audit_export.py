"""`gatehouse audit export`: records in a form that other systems read, as a stream.

Reads the log and, where there is a filter, the search index beside it. Takes no lock, changes nothing in the log. What
is written is what the records hold: codes, numbers and digests. A file appears under its name when it is complete.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from gateway.audit.export.errors import ExportError
from gateway.audit.export.formats import FORMATS, Exported, export
from gateway.audit.index import read_line
from gateway.audit.lookup import stored_lines
from gateway.audit.report import Exit
from gateway.audit.search import Query, each
from gateway.audit_location import Locate, UsageError, guarded, location_of
from gateway.audit_query_options import add_query_options, index_of, query_of

_BINARY = ("parquet",)


def add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add the command to `gatehouse audit`."""
    parser = commands.add_parser(
        "export",
        help="write records for other systems: JSON lines, CSV, OCSF, CEF, OpenTelemetry, Parquet",
        description="Write all records for which everything asked holds, oldest first, in one of these forms:\n"
        "  jsonl    the stored lines themselves, byte by byte\n"
        "  csv      one row a record\n"
        "  ocsf     OCSF 1.9.0-dev: API Activity, and Detection Finding where a rule acted\n"
        "  cef      ArcSight CEF:0, one line a record\n"
        "  otel     OpenTelemetry logs, OTLP/JSON, one message a line\n"
        "  parquet  typed columns; needs pip install 'gatehouse[parquet]' and --out\n"
        "Exports prove nothing: what is proved is the log, with `gatehouse audit verify` and `prove`.",
        epilog="exit status: 0 written, 2 written, but some lines of the log are no records, 5 not written\n\n"
        "example: gatehouse audit export --format ocsf --since 2026-11-01 --until 2026-12-01 --out nov.jsonl\n"
        "example: gatehouse audit export --format cef --action block --since 1h | nc -N siem 6514",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--format", choices=FORMATS, required=True, help="the form to write")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: standard output)")
    add_query_options(parser)
    parser.set_defaults(run=guarded(_export), locate=locate)


def _export(arguments: argparse.Namespace) -> int:
    directory = location_of(arguments).directory
    query = query_of(arguments)
    if arguments.out is None and arguments.format in _BINARY:
        raise UsageError(f"`{arguments.format}` is not for a terminal or a pipe: name a file with `--out`")
    try:
        if arguments.out is None:
            done = export(_lines(arguments, directory, query), arguments.format, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            done = _to_file(_lines(arguments, directory, query), arguments.format, arguments.out)
    except ExportError as exc:
        raise UsageError(str(exc)) from exc
    return _told(done)


def _lines(arguments: argparse.Namespace, directory: Path, query: Query) -> Iterator[bytes]:
    """Stored lines, oldest first. Without a filter the log is read straight through and needs no index."""
    if query == Query():
        yield from stored_lines(directory)
        return
    with closing(index_of(arguments, directory)) as index:
        for segment, offset in each(index, query):
            yield read_line(directory, segment, offset)


def _to_file(lines: Iterator[bytes], name: str, out: Path) -> Exported:
    if out.exists():
        raise UsageError(f"`{out}` exists already; an export does not replace a file")
    part = out.with_name(f".{out.name}.part")
    try:
        with _open_new(part) as file:
            done = export(lines, name, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(out)
    finally:
        part.unlink(missing_ok=True)
    return done


def _open_new(path: Path) -> BinaryIO:
    """Readable by its owner only: who may read the log was decided by somebody else than who reads this directory."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _told(done: Exported) -> int:
    if done.unreadable:
        told = f"{done.unreadable} lines are no records and were left out: run `gatehouse audit verify`"
        print(f"gatehouse audit export: {told}", file=sys.stderr)
        return Exit.ALTERED
    print(f"{done.records} records written", file=sys.stderr)
    return 0
