"""`gatehouse audit search | stats | index`: which records, and how many, by names and codes.

All bring a rebuildable index beside the log up to date first, and show lines of the log, not of the index. They take
no lock on the log and can run beside a gateway that writes; two at a time wait for each other.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from gateway.admin.client import FAILED, KEY_VARIABLE, AdminError, client_of
from gateway.audit.export.view import printable
from gateway.audit.index import read_line
from gateway.audit.search import GROUPS, count, daily, find, tally
from gateway.audit_lines import print_line
from gateway.audit_location import Locate, UsageError, guarded, location_of
from gateway.audit_query_options import PARAMETERS, add_index_options, add_query_options, index_file, index_of, query_of
from policies.errors import FileErrors

_COUNTED = 1_000
"""Counting what is not shown ends here."""


def add_search_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add both to `gatehouse audit`."""
    raw = argparse.RawDescriptionHelpFormatter
    search = commands.add_parser(
        "search",
        help="find records by names, codes, times and scores",
        description="Print the newest records for which everything asked holds. Words are names and codes: rules, "
        "detectors, hazard codes over their threshold, tenants, models, error kinds; `S1*` finds all that begin so.",
        epilog="exit status: 0 found, 1 nothing found, 2 with --gateway: it does not run, or refuses, 5 the log could "
        "not be read or the question is wrong\n\n"
        "example: gatehouse audit search S9 --tenant clinic --action block --since 7d\n"
        "example: gatehouse audit search --detector harm --score 0.9 --since 2026-11-20",
        formatter_class=raw,
    )
    search.add_argument("-n", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    search.add_argument(
        "--gateway",
        action="store_true",
        help="ask the running gateway, which records that you asked (an operator's key)",
    )
    search.add_argument(
        "--key-file", type=Path, metavar="FILE", help=f"with --gateway: the key (default: from {KEY_VARIABLE})"
    )
    stats = commands.add_parser(
        "stats",
        help="count records",
        description="Count the records for which everything asked holds, by one of their properties.",
        epilog="exit status: 0 counted, 5 the log could not be read or the question is wrong\n\n"
        "example: gatehouse audit stats --by code --since 30d",
        formatter_class=raw,
    )
    stats.add_argument("--by", choices=GROUPS, default="type", help="what to count by (default: type)")
    stats.add_argument("--daily", action="store_true", help="for each UTC day apart")
    build = commands.add_parser(
        "index",
        help="bring the search index up to date",
        description="Read into the search index what the log has and it lacks. Search, stats and export do so by "
        "themselves;\nthis is for a long log's first time. It can be interrupted and goes on where it was.",
        epilog="exit status: 0 done, 5 the log could not be read or the index not be written\n\n"
        "example: gatehouse audit index --rebuild",
        formatter_class=raw,
    )
    build.add_argument("--rebuild", action="store_true", help="throw the index away first")
    add_index_options(build)
    for parser, run in ((search, _search), (stats, _stats), (build, _build)):
        if parser is not build:
            add_query_options(parser)
            parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=guarded(run), locate=locate)


def _search(arguments: argparse.Namespace) -> int:
    if arguments.n < 1:
        raise UsageError("`-n` is a positive number")
    if arguments.gateway:
        return _search_through_gateway(arguments)
    directory, query = location_of(arguments).directory, query_of(arguments)
    with closing(index_of(arguments, directory)) as index:
        places = find(index, query, arguments.n)
        most = len(places) + _COUNTED
        rest = count(index, query, most) - len(places) if len(places) == arguments.n else 0
    for segment, offset in places:
        print_line(read_line(directory, segment, offset), arguments.json)
    if rest and not arguments.json:
        number = f"{rest} or more" if rest == _COUNTED else str(rest)
        print(f"({number} older records match as well; `-n` shows more)")
    return 0 if places else 1


def _search_through_gateway(arguments: argparse.Namespace) -> int:
    """The same question, put to the admin listener."""
    query_of(arguments)  # refuses what makes no sense, as without a gateway
    given = [(name, value) for name in PARAMETERS if (value := getattr(arguments, name)) is not None]
    given += [("word", word) for word in arguments.words] + [("n", arguments.n)]
    try:
        said = client_of(arguments).get(f"/admin/audit/search?{urlencode(given)}")
    except AdminError as exc:
        print(f"gatehouse audit: {exc.code}: {exc}", file=sys.stderr)
        return FAILED
    except FileErrors as exc:
        raise UsageError(str(exc)) from exc
    for line in said["lines"]:
        print_line(str(line).encode(), arguments.json)
    if not arguments.json:
        print(f"(that you asked is record {said['recorded_as']})")
    return 0 if said["lines"] else 1


def _stats(arguments: argparse.Namespace) -> int:
    directory, query = location_of(arguments).directory, query_of(arguments)
    with closing(index_of(arguments, directory)) as index:
        if arguments.daily:
            return _print_daily(list(daily(index, query, arguments.by)), arguments)
        rows = list(tally(index, query, arguments.by))
        total = sum(number for _, number in tally(index, query, "day"))
    if arguments.json:
        print(json.dumps({"by": arguments.by, "records": total, "counts": dict(rows)}, indent=2))
        return 0
    for value, number in rows:
        print(f"{number:>10}  {printable(value)}")
    print(f"{total:>10}  records")
    return 0


def _print_daily(rows: list[tuple[str, str, int]], arguments: argparse.Namespace) -> int:
    if arguments.json:
        days: dict[str, dict[str, int]] = {}
        for day, value, number in rows:
            days.setdefault(day, {})[value] = number
        print(json.dumps({"by": arguments.by, "days": days}, indent=2))
        return 0
    for day, value, number in rows:
        print(f"{day}  {number:>10}  {printable(value)}")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    directory, path = location_of(arguments).directory, index_file(arguments)
    if arguments.rebuild:
        for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            name.unlink(missing_ok=True)
    begun = time.monotonic()

    def told(read: int) -> None:
        print(f"{read} records, {time.monotonic() - begun:.0f} s", file=sys.stderr)

    with closing(index_of(arguments, directory, told)) as index:
        [(records,)] = index.execute("SELECT count(*) FROM record").fetchall()
    print(f"`{path}`: {records} records, {path.stat().st_size} bytes")
    return 0
