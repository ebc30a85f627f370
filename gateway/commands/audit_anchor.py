"""`gatehouse audit anchor`: how far each anchor of the log has come."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from gateway.audit.anchors.history import Anchored, AnchorHistory
from gateway.audit.checkpoints import NEWEST
from gateway.audit.report import iso
from gateway.audit_location import CONFIG_HELP, Locate, guarded, location_of


def add_anchor_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add it to `gatehouse audit`."""
    anchor = commands.add_parser(
        "anchor",
        help="how far each anchor of the log has come",
        description="Print for each anchor that ever had a success the size of the last head it got, how many records "
        "were signed since, and how long ago that was. Reads anchors.log, which is a list and no proof: what proves "
        "something is what the anchor itself holds (`gatehouse audit verify --help`).",
        epilog="exit status: 0 printed, 5 the log could not be read\n\nexample: gatehouse audit anchor --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    anchor.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    anchor.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    anchor.add_argument("--json", action="store_true", help="print JSON")
    anchor.set_defaults(run=guarded(_anchor), locate=locate)


def _anchor(arguments: argparse.Namespace) -> int:
    directory = location_of(arguments).directory
    size, now_ns = _signed_size(directory), time.time_ns()
    rows = [_row(one, size, now_ns) for _, one in sorted(AnchorHistory(directory).recent().last.items())]
    if arguments.json:
        print(json.dumps({"size": size, "anchors": rows}, indent=2))
    elif not rows:
        print(f"no anchor has had a success; the log has a signed head over {size} records")
    else:
        print(f"{'anchor':20}  {'kind':8}  {'size':>12}  {'behind':>8}  last success")
    for row in () if arguments.json else rows:
        told = f"{row['at']} ({_ago(int(row['age_s']))})"
        if int(row["behind"]) < 0:
            told += ", the log is SMALLER than what was anchored"
        print(f"{row['name']:20}  {row['kind']:8}  {row['size']:>12}  {row['behind']:>8}  {told}")
    return 0


def _signed_size(directory: Path) -> int:
    """Of the newest head, as it is written; nothing is verified here."""
    try:
        return int((directory / NEWEST).read_bytes().split(b"\n")[1])
    except (FileNotFoundError, ValueError, IndexError):
        return 0


def _row(one: Anchored, size: int, now_ns: int) -> dict[str, str | int]:
    age_s = max(0, now_ns - one.ts_ns) // 10**9
    behind = size - one.size
    return {
        "name": one.name,
        "kind": one.kind,
        "size": one.size,
        "behind": behind,
        "at": iso(one.ts_ns),
        "age_s": age_s,
    }


def _ago(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"
