"""`gatehouse whoami`: whether an operator's key is right, and what it opens, before it is needed."""

from __future__ import annotations

import argparse
import json

from gateway.admin.client import add_client_options, client_of, guarded


def add_whoami_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `whoami` to the command line."""
    whoami = commands.add_parser(
        "whoami",
        help="show whose operator key this is",
        description="Ask the running gateway whose operator key this is. That is a record.",
        epilog="exit status: 0 shown, 2 the key is not an operator's, or no gateway runs",
    )
    add_client_options(whoami)
    whoami.set_defaults(run=guarded(_whoami))


def _whoami(arguments: argparse.Namespace) -> int:
    said = client_of(arguments).get("/admin/whoami")
    print(json.dumps(said) if arguments.json else f"{said['name']}: {', '.join(said['roles'])}")
    return 0
