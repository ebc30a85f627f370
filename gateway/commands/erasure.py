"""`gatehouse audit erase | hold | retention | subject`: what a privacy officer does, through the running gateway.

A person is named by their token. Their name, where it has to be looked up, is read from a file or standard input, so
that it stands in no list of processes and no shell history.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.admin.client import AdminError, add_client_options, client_of, guarded

_EXIT = "exit status: 0 done, 2 it was not: the gateway does not run, refuses, or a legal hold forbids it"
_Commands = argparse._SubParsersAction  # its own name for what add_subparsers returns


def add_erasure_commands(commands: _Commands[argparse.ArgumentParser]) -> None:
    """Add them to `gatehouse audit`."""
    erase = _command(commands, "erase", _erase, "destroy the keys of what is kept of a person or a request")
    what = erase.add_mutually_exclusive_group(required=True)
    what.add_argument("--subject", metavar="TOKEN", help="everything of this person, and who they were")
    what.add_argument("--request", metavar="ID", help="what is kept of one request")
    _reason(erase)
    _approvals(erase)
    _add_hold(commands.add_parser("hold", help="legal holds, which forbid erasure").add_subparsers(required=True))
    retention = commands.add_parser("retention", help="erase what is past its time").add_subparsers(required=True)
    _command(retention, "prune", _prune, "erase what is past its time now, not only with the next hour")
    _add_subject(commands.add_parser("subject", help="persons whom requests name").add_subparsers(required=True))


def _add_hold(holds: _Commands[argparse.ArgumentParser]) -> None:
    set_ = _command(holds, "set", _set_hold, "forbid the erasure of a person's, a request's or a class's text")
    what = set_.add_mutually_exclusive_group(required=True)
    what.add_argument("--subject", metavar="TOKEN", help="a person")
    what.add_argument("--request", metavar="ID", help="a request")
    what.add_argument("--class", dest="class_", metavar="NAME", help="a retention class")
    set_.add_argument("--case", required=True, metavar="ID", help="the case it is for")
    release = _command(holds, "release", _release_hold, "let a hold go")
    release.add_argument("id", metavar="ID", help="of the hold")
    _reason(set_)
    _reason(release)
    _approvals(release)
    _command(holds, "list", _list_holds, "list the holds that stand")


def _add_subject(subjects: _Commands[argparse.ArgumentParser]) -> None:
    find = _command(subjects, "find", _find, "the token under which a person is in the log")
    find.add_argument("--tenant", required=True, help="the tenant whose requests name the person")
    find.add_argument(
        "--name-file", type=Path, required=True, metavar="FILE", help="file with the name; `-`: read it here"
    )
    export = _command(subjects, "export", _export, "write the records and the text of a person to a file")
    export.add_argument("subject", metavar="TOKEN", help="the person")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file, one JSON object a line")
    export.add_argument("--case", required=True, metavar="ID", help="the case it is for")
    _reason(export)


def _command(
    commands: _Commands[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], int], told: str
) -> argparse.ArgumentParser:
    description = f"{told[0].upper()}{told[1:]}. Goes through the running gateway, with an operator's key; is a record."
    parser = commands.add_parser(name, help=told, description=description, epilog=_EXIT)
    add_client_options(parser)
    parser.set_defaults(run=guarded(run))
    return parser


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why, in one line; it stands in the log for ever"
    )


def _erase(arguments: argparse.Namespace) -> int:
    asked = _given(subject=arguments.subject, request=arguments.request, reason=arguments.reason)
    return _ordered(arguments, "/admin/content/erase", asked, "{erased} blobs were erased")


def _prune(arguments: argparse.Namespace) -> int:
    return _told(arguments, client_of(arguments).post("/admin/content/prune", {}), "{erased} blobs were erased")


def _set_hold(arguments: argparse.Namespace) -> int:
    asked = _given(subject=arguments.subject, request=arguments.request, reason=arguments.reason, case=arguments.case)
    if arguments.class_ is not None:
        asked["class"] = arguments.class_
    return _told(arguments, client_of(arguments).post("/admin/content/holds", asked), "hold {hold[id]} stands")


def _release_hold(arguments: argparse.Namespace) -> int:
    asked = {"id": arguments.id, "reason": arguments.reason}
    return _ordered(arguments, "/admin/content/holds/release", asked, "hold {hold[id]} is released")


def _list_holds(arguments: argparse.Namespace) -> int:
    said = client_of(arguments).get("/admin/content/holds")
    if arguments.json:
        return _told(arguments, said, "")
    for hold in said["holds"]:
        print(f"{hold['id']}  {hold['on']} {hold['value']}  case {hold['case']}: {hold['reason']}")
    return 0


def _find(arguments: argparse.Namespace) -> int:
    read = sys.stdin.read() if str(arguments.name_file) == "-" else arguments.name_file.read_text()
    said = client_of(arguments).post("/admin/content/person", {"tenant": arguments.tenant, "name": read.strip("\n")})
    return _told(arguments, said, "{subject}")


def _export(arguments: argparse.Namespace) -> int:
    asked = {"subject": arguments.subject, "reason": arguments.reason, "case": arguments.case}
    if arguments.out.exists():
        raise AdminError("file_exists", f"`{arguments.out}` exists already, and is not written over")
    lines = client_of(arguments).send("POST", "/admin/content/export", asked).text
    with open(os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(lines)
    said = {"lines": lines.count("\n"), "file": str(arguments.out)}
    return _told(arguments, said, "{lines} records and texts are in {file}")


def _ordered(arguments: argparse.Namespace, path: str, asked: dict[str, Any], form: str) -> int:
    """Have it done, or only write what has to be approved first."""
    if arguments.statement is not None:
        text = client_of(arguments).post(path, asked | {"statement": True})["statement"]
        with arguments.statement.open("x") as file:
            file.write(text)
        return _told(arguments, {"statement": str(arguments.statement)}, "to be approved by two: {statement}")
    if arguments.approval:
        asked["approvals"] = [file.read_text() for file in arguments.approval]
    return _told(arguments, client_of(arguments).post(path, asked), form)


def _approvals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--statement", type=Path, metavar="NEW", help="do nothing: write what two people have to approve"
    )
    parser.add_argument(
        "--approval", type=Path, action="append", default=[], metavar="FILE", help="made by `gatehouse approve`; twice"
    )


def _given(**named: str | None) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def _told(arguments: argparse.Namespace, said: dict[str, Any], form: str) -> int:
    print(json.dumps(said) if arguments.json else form.format(**said))
    return 0
