"""`gatehouse review`: what waits for people, and a vote on it, through the running gateway."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from gateway.admin.client import add_client_options, client_of, guarded
from gateway.audit.export.view import printable

_Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_ENDING = "exit status: 0 done, 2 it was not done: no gateway runs, the key or the role is not right, or it is decided"


def add_review_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `review` to the command line."""
    review = commands.add_parser("review", help="list and decide exchanges that wait for people")
    actions = review.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add(actions, "list", "list what waits, without its text", _list)
    for name, told, run in (
        ("show", "show what one of them says; that is a record", _show),
        ("approve", "approve one", _vote),
        ("deny", "deny one, which ends it", _vote),
    ):
        _add(actions, name, told, run).add_argument("id", metavar="ID", help="as `gatehouse review list` shows it")


def _add(actions: _Actions, name: str, told: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.", epilog=_ENDING)
    add_client_options(parser)
    parser.set_defaults(run=guarded(run))
    return parser


def _list(arguments: argparse.Namespace) -> int:
    rows = client_of(arguments).get("/admin/reviews")["reviews"]
    if arguments.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        left = max(0, int(row["until"] - time.time()))
        votes = f"{len(row['approved_by'])} of {row['quorum']}"
        print(f"{row['id']}  {', '.join(row['queues'])}  {row['tenant']}/{row['app']}  {votes}  {left}s left")
    print(f"{len(rows)} waiting")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    held = client_of(arguments).get(f"/admin/reviews/{quote(arguments.id, safe='')}")
    if arguments.json:
        print(json.dumps(held))
        return 0
    print(f"{held['id']}  rules {', '.join(held['rules'])}  {held['tenant']}/{held['app']}")
    for part in held["parts"]:
        print(f"--- {part['part']} ({part['scope']})")
        print(*map(printable, part["text"].split("\n")), sep="\n")
        if "picture" in part:
            print("a picture; `--json` has it as a `data:` URL, which a browser shows")
    return 0


def _vote(arguments: argparse.Namespace) -> int:
    path = f"/admin/reviews/{quote(arguments.id, safe='')}/vote"
    said = client_of(arguments).post(path, {"vote": arguments.action})
    print(json.dumps(said) if arguments.json else f"{said['id']}: {said['state']}; {said['why']}")
    return 0
