"""The filters that `audit search`, `stats` and `export` share, and the index they are asked of."""

from __future__ import annotations

import argparse
import sqlite3
import time
from pathlib import Path

from gateway.audit.errors import QueryError
from gateway.audit.index import Told, open_index
from gateway.audit.search import FILTERS, Query, moment
from gateway.audit_location import CONFIG_HELP, UsageError, location_of

_INDEX = "audit-index.sqlite"
_OPTIONS = {"req": "request", "actor": "key"}
PARAMETERS = {
    **{name: _OPTIONS.get(name, name) for name in FILTERS},
    **{name: name for name in ("since", "until", "detector", "score")},
}
"""Filters by the name that the index or the gateway has for them, with the option's name."""


def add_query_options(parser: argparse.ArgumentParser) -> None:
    """Words, filters, times, and where log and index are."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="names and codes that the record must hold")
    for column in FILTERS:
        option = _OPTIONS.get(column, column)
        parser.add_argument(f"--{option}", dest=column, metavar="NAME", help=f"{option} is NAME")
    parser.add_argument("--since", metavar="TIME", help="2026-11-20, 2026-11-20T10:30:00Z, or 36h for so long ago")
    parser.add_argument("--until", metavar="TIME", help="before this time")
    parser.add_argument("--detector", metavar="NAME", help="this detector found something")
    parser.add_argument("--score", type=float, metavar="P", help="with --detector: at least P (0 to 1)")
    add_index_options(parser)


def add_index_options(parser: argparse.ArgumentParser) -> None:
    """Where log and index are."""
    parser.add_argument("--index", type=Path, metavar="FILE", help="index to use (default: beside DIR)")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    parser.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)


def index_file(arguments: argparse.Namespace, directory: Path | None = None) -> Path:
    """Where the index is."""
    file: Path = arguments.index or (directory or location_of(arguments).directory).parent / _INDEX
    return file


def index_of(arguments: argparse.Namespace, directory: Path, told: Told | None = None) -> sqlite3.Connection:
    """The index, brought up to date with the log."""
    path = index_file(arguments, directory)
    try:
        return open_index(path, directory, told)
    except sqlite3.OperationalError as exc:
        raise UsageError(f"the index `{path}` cannot be used ({exc}): name another with `--index`") from exc
    except sqlite3.DatabaseError as exc:
        raise UsageError(f"the index `{path}` is damaged ({exc}): delete it, it is made anew") from exc


def times_of(arguments: argparse.Namespace) -> tuple[int | None, int | None]:
    """`--since` and `--until` in nanoseconds."""
    now = time.time_ns()
    try:
        since, until = (moment(text, now) if text else None for text in (arguments.since, arguments.until))
    except QueryError as exc:
        raise UsageError(f"`--since`, `--until`: {exc}") from exc
    return since, until


def query_of(arguments: argparse.Namespace) -> Query:
    """What the options ask for."""
    if arguments.score is not None and (arguments.detector is None or not 0.0 <= arguments.score <= 1.0):
        raise UsageError("`--score` is a number from 0 to 1 and needs `--detector`")
    since, until = times_of(arguments)
    return Query(
        words=tuple(arguments.words),
        exact=tuple((column, value) for column in FILTERS if (value := getattr(arguments, column)) is not None),
        since_ns=since,
        until_ns=until,
        detector=arguments.detector,
        least_ppm=max(1, round((arguments.score or 0.0) * 1_000_000)),
    )
