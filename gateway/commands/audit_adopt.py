"""`gatehouse audit adopt`: go on after a log that refuses to start, as a new log that two people approved.

Without approvals it says why the log is refused and writes the statement to be approved; with them it does it. The
gateway must not be running. Whether the old log can be repaired is for people to find out first: it is kept as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.approval import ApprovalError
from gateway.audit.adopt import adopt, origin_of, propose
from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles, write_new_file
from gateway.audit.settings import AuditSettings
from gateway.audit_location import CONFIG_HELP
from gateway.commands.audit_key import told_errors

_HELP = """exit status: 0 the statement was written, or the new log begun; 2 neither, and nothing was changed

example:
  gatehouse audit adopt --new-origin acme/front-1/b --reason "disk of the log restored from a backup"
  gatehouse approve adopt.statement --key alice.key --name alice       # and bob, each on their own
  gatehouse audit adopt --approve adopt.statement.alice --approve adopt.statement.bob"""


def add_adopt_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `adopt` to `gatehouse audit`."""
    parser = commands.add_parser(
        "adopt",
        help="go on after a log that refuses to start",
        description="Say why the log is refused and write a statement for two approvers; with their approvals, begin a "
        "new log in its place, which names the old one. The old one is kept aside, unchanged.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    parser.add_argument("--state", type=Path, help="where the gateway writes; overrides `state` of the file")
    parser.add_argument("--new-origin", metavar="NAME", help="name of the new log")
    parser.add_argument("--reason", metavar="TEXT", help="why, in one line; it stands in the new log for ever")
    parser.add_argument("--out", type=Path, default=Path("adopt.statement"), metavar="FILE", help="a new file")
    parser.add_argument(
        "--approve", type=Path, action="append", default=[], metavar="NOTE", help="an approval; twice, by two people"
    )
    parser.set_defaults(run=told_errors(_run))


def _run(arguments: argparse.Namespace) -> int:
    from gateway.config import load_config

    config = load_config(arguments.config, arguments.state)
    settings = AuditSettings(
        config.audit_dir,
        origin_of(config.audit_dir, config.origin),
        config.key_dir / "audit.pem",
        version={"id": config.origin},
        head_store=config.head_store,
        epoch_s=config.epoch_s,
    )
    if not arguments.approve:
        return _propose(arguments, settings)
    try:
        notes = [path.read_bytes() for path in arguments.approve]
        statement, aside = adopt(settings, notes, config.approvers, OsFiles())
    except ApprovalError as exc:
        print(f"gatehouse audit: {exc}", file=sys.stderr)
        return 2
    print(f"begun: {statement.new}, which goes on from {statement.old}\nthe old log is kept in {aside}")
    if config.origin != statement.new:
        print(f"before you start the gateway, set in {config.file}:\n  origin: {statement.new}")
    return 0


def _propose(arguments: argparse.Namespace, settings: AuditSettings) -> int:
    if not arguments.new_origin or not arguments.reason:
        raise AuditError("audit_settings", "a statement needs `--new-origin` and `--reason`, an adoption `--approve`")
    if arguments.out.exists():
        raise AuditError("audit_settings", f"`{arguments.out}` exists")
    refusal, statement = propose(settings, arguments.new_origin, arguments.reason, OsFiles())
    write_new_file(OsFiles(), arguments.out, statement.text().encode())
    print(f"refused: {refusal.code}: {refusal}\n\n{statement.text()}")
    print(f"written: {arguments.out}; two approvers: gatehouse approve {arguments.out} --key FILE --name NAME")
    return 0
