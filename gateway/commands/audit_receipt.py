"""`gatehouse audit check-receipt`: does the log still hold the record that a client was promised?

A receipt that holds and a log that has another record under its number, or none, contradict each other: the log was set
back or exchanged after the answer went out. Changes nothing; says nothing of the rest of the log: that is for `verify`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.audit.epochs import load_chain
from gateway.audit.errors import NoteError
from gateway.audit.lookup import stored_line
from gateway.audit.merkle import leaf_hash
from gateway.audit.receipt import check_receipt, parse_receipt
from gateway.audit.record import parse_line
from gateway.audit.report import Exit
from gateway.audit.verify import load_trust
from gateway.audit_location import CONFIG_HELP, Locate, guarded, location_of


def add_receipt_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add `check-receipt` to `gatehouse audit`."""
    check = commands.add_parser(
        "check-receipt",
        help="check a receipt of an answer against the log",
        description="Check the signature of a Gatehouse-Receipt, and that the log holds the very record it names.",
        epilog="exit status: 0 it holds, 2 it is no receipt of this log, 3 it is, but the log has another record under "
        "that number or none, 5 wrong usage\n\nexample: gatehouse audit check-receipt "
        "'acme/front-1/audit; i=4711; h=…; k=3; s=…'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("receipt", help="the header's value, or `-`: read it from standard input")
    check.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    check.add_argument("--trust", type=Path, metavar="FILE.vkey", help="the log's public key")
    check.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    check.set_defaults(run=guarded(_check), locate=locate)


def _check(arguments: argparse.Namespace) -> int:
    location = location_of(arguments)
    text = sys.stdin.readline() if arguments.receipt == "-" else arguments.receipt
    try:
        receipt = parse_receipt(text)
        epoch = check_receipt(receipt, load_chain(location.directory, load_trust(location.trust)))
    except NoteError as exc:
        print(f"does not hold: {exc}")
        return Exit.ALTERED
    by = "the log key" if epoch.number < 0 else f"the key of epoch {epoch.number}"
    try:
        line = stored_line(location.directory, receipt.seq)
    except LookupError:
        print(f"CONTRADICTED: signed by {by}, but the log has no record {receipt.seq}")
        return Exit.ROLLBACK
    if leaf_hash(line) != receipt.leaf:
        print(f"CONTRADICTED: signed by {by}, but record {receipt.seq} of the log is another one")
        return Exit.ROLLBACK
    record = parse_line(line)
    print(f"ok  {receipt.origin}: record {receipt.seq}, {record['type']}, signed by {by}; the log holds it")
    return Exit.PROVED
