"""`gatehouse audit review`: look at a day's records through the running gateway, and sign the day off.

Both are records: that somebody looked (`audit.read`), and who said what of the day (`log.review`). The sign-off is
bound to the number of records that were shown, and refused if the day has another by then.
"""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import urlencode

from gateway.admin.client import add_client_options, client_of, guarded
from gateway.audit.export.view import printable


def add_review(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `gatehouse audit`."""
    parser = commands.add_parser(
        "review",
        help="look at a day's records and sign them off",
        description="Ask the running gateway what a UTC day's records are, and with --note sign the day off.\n"
        "Looking is an `audit.read` record, signing off a `log.review` record. Needs an operator's key with the role "
        "`auditor`.",
        epilog="exit status: 0 shown, or signed off, 2 the gateway does not run or refuses\n\n"
        "example: gatehouse audit review --day 2026-11-20 --note 'two blocked prompts looked at, no findings'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--day", required=True, metavar="DAY", help="a UTC day that is over, such as 2026-11-20")
    parser.add_argument("--note", metavar="TEXT", help="sign the day off with this line; it becomes part of the log")
    add_client_options(parser)
    parser.set_defaults(run=guarded(_review))


def _review(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    day = client.get(f"/admin/audit/day?{urlencode({'day': arguments.day})}")
    if not arguments.json:
        _print_day(day)
    if arguments.note is None:
        if arguments.json:
            print(json.dumps(day))
        return 0
    body = {"day": arguments.day, "note": arguments.note, "records": day["records"]}
    signed = client.post("/admin/audit/review", body)
    print(
        json.dumps(day | {"signed_off": signed}) if arguments.json else f"signed off as record {signed['recorded_as']}"
    )
    return 0


def _print_day(day: dict[str, Any]) -> None:
    print(f"{day['day']}: {day['records']} records")
    for title in ("by_type", "by_code"):
        for name, number in sorted(day[title].items(), key=lambda row: (-row[1], row[0])):
            print(f"{number:>10}  {printable(name)}" + ("" if title == "by_type" else " (code)"))
