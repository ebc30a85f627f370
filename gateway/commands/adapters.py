"""`gatehouse models adapters add | remove | list`: adapters of the models that a running gateway's model host has.

The gateway's model host reads the directory, so the path is one of its machine. What was added so is gone when the
model host starts again; what is to be there at every start is `engine.adapters` of the configuration.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.admin.client import AdminError, add_client_options, client_of, guarded
from gateway.jsonstrict import dumps

ROUTE = "/admin/adapters"
_NAMED = "`BASE:NAME`; where the model host has one model, NAME"
_STATUS = "exit status: 0 done, 2 it was not, and why"


def add_adapters_commands(models: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `adapters` to the commands of `gatehouse models`."""
    adapters = models.add_parser("adapters", help="adapters of a running gateway's local models")
    commands = adapters.add_subparsers(metavar="COMMAND", required=True)
    add = commands.add_parser(
        "add",
        help="serve one more, as the model `BASE:NAME`",
        description="Have the running model host read an adapter's directory and serve it. That is a record.",
        epilog=f"{_STATUS}\n\nexample: gatehouse models adapters add clinic /models/clinic",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("name", metavar="NAME", help=_NAMED)
    add.add_argument("path", metavar="PATH", type=Path, help="PEFT's layout, with a manifest")
    remove = commands.add_parser(
        "remove",
        help="serve one no more; answers that run with it go on",
        description="Take an adapter away: new requests for it are 404. That is a record.",
        epilog=f"{_STATUS}\n\nexample: gatehouse models adapters remove clinic",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    remove.add_argument("name", metavar="NAME", help=_NAMED)
    listing = commands.add_parser(
        "list",
        help="which there are",
        description="Print the adapters that the running model host serves.",
        epilog=f"{_STATUS}\n\nexample: gatehouse models adapters list --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for parser, run in ((add, _add), (remove, _remove), (listing, _list)):
        add_client_options(parser)
        parser.set_defaults(run=guarded(run))


def _add(arguments: argparse.Namespace) -> int:
    body = {"name": arguments.name, "path": str(arguments.path.absolute())}
    return _print(arguments, [client_of(arguments).post(ROUTE, body)])


def _remove(arguments: argparse.Namespace) -> int:
    response = client_of(arguments).send("DELETE", f"{ROUTE}/{quote(arguments.name, safe=':')}")
    return _print(arguments, [response.json()])


def _list(arguments: argparse.Namespace) -> int:
    return _print(arguments, client_of(arguments).get(ROUTE).get("adapters"))


def _print(arguments: argparse.Namespace, rows: Sequence[dict[str, Any]] | None) -> int:
    try:
        lines = [f"{row['model']}  rank {row['rank']}  {row['weights']}" for row in rows or ()]
    except (KeyError, TypeError):
        raise AdminError("no_answer", "what answers is no gateway of this version") from None
    if arguments.json:
        lines = [dumps(row).decode() for row in rows or ()]
    print("\n".join(lines) or "no adapter")
    return 0
