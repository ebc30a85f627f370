"""`gatehouse audit search | stats`: which records, and how many, by names and codes.

Both bring a rebuildable index beside the log up to date first, and show lines of the log, not of the index. They take
no lock and can run beside a gateway that writes; two at a time wait for each other.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from gateway.audit.errors import QueryError
from gateway.audit.index import open_index, read_line
from gateway.audit.search import FILTERS, GROUPS, Query, count, find, moment, tally
from gateway.audit_lines import print_line
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded, location_of

_INDEX = "audit-index.sqlite"


def add_search_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add both to `gatehouse audit`."""
    raw = argparse.RawDescriptionHelpFormatter
    search = commands.add_parser(
        "search",
        help="find records by names, codes, times and scores",
        description="Print the newest records for which everything asked holds. Words are names and codes: rules, "
        "detectors, hazard codes over their threshold, tenants, models, error kinds; `S1*` finds all that begin so.",
        epilog="exit status: 0 found, 1 nothing found, 5 the log could not be read or the question is wrong\n\n"
        "example: gatehouse audit search S9 --tenant clinic --action block --since 7d\n"
        "example: gatehouse audit search --detector harm --score 0.9 --since 2026-11-20",
        formatter_class=raw,
    )
    search.add_argument("-n", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    stats = commands.add_parser(
        "stats",
        help="count records",
        description="Count the records for which everything asked holds, by one of their properties.",
        epilog="exit status: 0 counted, 5 the log could not be read or the question is wrong\n\n"
        "example: gatehouse audit stats --by code --since 30d",
        formatter_class=raw,
    )
    stats.add_argument("--by", choices=GROUPS, default="type", help="what to count by (default: type)")
    for parser, run in ((search, _search), (stats, _stats)):
        parser.add_argument("words", nargs="*", metavar="WORD", help="names and codes that the record must hold")
        for column in FILTERS:
            option = _OPTIONS.get(column, column)
            parser.add_argument(f"--{option}", dest=column, metavar="NAME", help=f"{option} is NAME")
        parser.add_argument("--since", metavar="TIME", help="2026-11-20, 2026-11-20T10:30:00Z, or 36h for so long ago")
        parser.add_argument("--until", metavar="TIME", help="before this time")
        parser.add_argument("--detector", metavar="NAME", help="this detector found something")
        parser.add_argument("--score", type=float, metavar="P", help="with --detector: at least P (0 to 1)")
        parser.add_argument("--index", type=Path, metavar="FILE", help="index to use (default: beside DIR)")
        parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
        parser.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=guarded(run), locate=locate)


_OPTIONS = {"req": "request", "actor": "key"}


def _search(arguments: argparse.Namespace) -> int:
    if arguments.n < 1:
        raise UsageError("`-n` is a positive number")
    directory = location_of(arguments).directory
    with closing(_index(arguments, directory)) as index:
        places = find(index, _query(arguments), arguments.n)
        rest = count(index, _query(arguments)) - len(places) if len(places) == arguments.n else 0
    for segment, offset in places:
        print_line(read_line(directory, segment, offset), arguments.json)
    if rest and not arguments.json:
        print(f"({rest} older records match as well; `-n` shows more)")
    return 0 if places else 1


def _stats(arguments: argparse.Namespace) -> int:
    directory = location_of(arguments).directory
    with closing(_index(arguments, directory)) as index:
        rows = list(tally(index, _query(arguments), arguments.by))
        total = count(index, _query(arguments))
    if arguments.json:
        print(json.dumps({"by": arguments.by, "records": total, "counts": dict(rows)}, indent=2))
        return 0
    for value, number in rows:
        print(f"{number:>10}  {''.join(char if char.isprintable() else '?' for char in value)}")
    print(f"{total:>10}  records")
    return 0


def _index(arguments: argparse.Namespace, directory: Path) -> sqlite3.Connection:
    path: Path = arguments.index or directory.parent / _INDEX
    try:
        return open_index(path, directory)
    except sqlite3.OperationalError as exc:
        raise UsageError(f"the index `{path}` cannot be used ({exc}): name another with `--index`") from exc
    except sqlite3.DatabaseError as exc:
        raise UsageError(f"the index `{path}` is damaged ({exc}): delete it, it is made anew") from exc


def _query(arguments: argparse.Namespace) -> Query:
    now = time.time_ns()
    if arguments.score is not None and (arguments.detector is None or not 0.0 <= arguments.score <= 1.0):
        raise UsageError("`--score` is a number from 0 to 1 and needs `--detector`")
    try:
        since, until = (moment(text, now) if text else None for text in (arguments.since, arguments.until))
    except QueryError as exc:
        raise UsageError(f"`--since`, `--until`: {exc}") from exc
    return Query(
        words=tuple(arguments.words),
        exact=tuple((column, value) for column in FILTERS if (value := getattr(arguments, column)) is not None),
        since_ns=since,
        until_ns=until,
        detector=arguments.detector,
        least_ppm=max(1, round((arguments.score or 0.0) * 1_000_000)),
    )
