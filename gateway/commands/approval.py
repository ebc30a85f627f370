"""`gatehouse approver-key` and `gatehouse approve`: how a person says yes to exactly one text.

The key stays with that person; the gateway knows its public half. What is signed is printed in full before, as nobody
can approve what was not shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.approval import ApprovalError, check_statement
from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles, write_new_file
from gateway.audit.keys import create_private, load_private
from gateway.audit.note import Signer, is_origin
from gateway.file_problem import file_problem

_STATUS = "exit status: 0 done, 2 it was not: a file cannot be used, or exists"


def add_approval_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to the command line."""
    key = commands.add_parser(
        "approver-key",
        help="make a key to approve with",
        description="Make the private key of an approver and print its public half, for `approvers` in gatehouse.yaml.",
        epilog=_STATUS,
    )
    key.add_argument("key", type=Path, metavar="NEW.key", help="a new file; keep it where only that person reads")
    key.add_argument("--name", type=approver_name, required=True, help="of the approver, as `approvers` lists it")
    key.set_defaults(run=_told(_make_key))
    approve = commands.add_parser(
        "approve",
        help="approve a statement",
        description="Print a statement, and sign it: an approval that this text happens. Two approvers have to.",
        epilog=f"{_STATUS}\n\nexample: gatehouse approve adopt.statement --key alice.key --name alice",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    approve.add_argument("statement", type=Path, metavar="STATEMENT-FILE", help="what is to be approved")
    approve.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key")
    approve.add_argument("--name", type=approver_name, required=True, help="your name, as `approvers` lists it")
    approve.add_argument("--out", type=Path, metavar="FILE", help="default: the statement's name and yours")
    approve.set_defaults(run=_told(_approve))


def _told(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def told(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except (AuditError, ApprovalError) as exc:
            problem = str(exc)
        except OSError as exc:
            problem = file_problem(exc)
        except UnicodeDecodeError:
            problem = "the statement is not text"
        print(f"gatehouse: {problem}", file=sys.stderr)
        return 2

    return told


def _make_key(arguments: argparse.Namespace) -> int:
    _require_new(arguments.key)
    signer = Signer(arguments.name, create_private(arguments.key, OsFiles()))
    print(f"approvers:\n  {arguments.name}: {signer.verifier.vkey}")
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    text = arguments.statement.read_text()
    check_statement(text)
    out = arguments.out or arguments.statement.with_name(f"{arguments.statement.name}.{arguments.name}")
    _require_new(out)
    note = Signer(arguments.name, load_private(arguments.key)).sign(text)
    print(text, end="")
    write_new_file(OsFiles(), out, note)
    print(f"approved as {arguments.name}: {out}")
    return 0


def _require_new(path: Path) -> None:
    if path.exists():
        raise ApprovalError(f"`{path}` exists")


def approver_name(text: str) -> str:
    """An argument that names an approver."""
    if not is_origin(text) or "/" in text:
        raise argparse.ArgumentTypeError("expected letters, digits, `.`, `_` and `-`")
    return text
