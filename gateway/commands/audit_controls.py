"""`gatehouse audit controls`: which records of the log speak to which control of a framework, and where none do."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import Final

from gateway.audit.controls.framework import FRAMEWORKS, load
from gateway.audit.controls.report import CAVEAT, answer, as_json, as_text
from gateway.audit_location import Locate, guarded, location_of
from gateway.audit_query_options import add_index_options, index_of, times_of

_DAY_NS: Final = 86_400 * 10**9


def add_controls(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add the command to `gatehouse audit`."""
    parser = commands.add_parser(
        "controls",
        help="list the records that speak to a framework's controls, and the gaps",
        description="For each control of a framework: what it asks, which records speak to it, how many there are, the "
        "first\nand the last, and gaps. A control is silent if its records are only written when something happens, "
        "and\nthere are none. Times count as whole UTC days.\n" + CAVEAT.replace(". ", ".\n"),
        epilog="exit status: 0 every control has records, 1 some have gaps or are silent, 5 the log could not be "
        "read\n\n"
        "example: gatehouse audit controls --framework hipaa --since 2026-10-01 --until 2026-11-01",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--framework", choices=FRAMEWORKS, required=True, help="which one")
    parser.add_argument("--since", metavar="TIME", help="from this day on: 2026-11-20, or 30d for so long ago")
    parser.add_argument("--until", metavar="TIME", help="before this day")
    add_index_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=guarded(_controls), locate=locate)


def _controls(arguments: argparse.Namespace) -> int:
    directory = location_of(arguments).directory
    since, until = times_of(arguments)
    since = None if since is None else since // _DAY_NS * _DAY_NS
    until = None if until is None else -(-until // _DAY_NS) * _DAY_NS
    framework = load(arguments.framework)
    with closing(index_of(arguments, directory)) as index:
        answered = answer(index, framework, since, until)
    if arguments.json:
        print(json.dumps(as_json(framework, answered), indent=2, ensure_ascii=False))
    else:
        print("\n".join(as_text(framework, answered)))
    return 1 if any(one.gaps or one.is_silent for one in answered) else 0
