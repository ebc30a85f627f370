"""`gatehouse policy lint`: what is legal in a policy and probably not meant, a line each with code, place and fix.

For authors and for CI, which can leave a check out by its code. A policy with problems is not linted: they come first.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.jsonstrict import Json
from gateway.policy_files import OK, PROBLEMS, UNREADABLE, Checked, Known, add_files, report_each
from gateway.policy_site import site_of
from policies.errors import FileErrors
from policies.lint import CHECKS, lint_policy
from policies.model import Policy
from policies.remarks import Finding


def add_lint(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lint",
        help="report what is legal in policy files and probably not meant",
        description="Report rules that can never act, scopes that pass unread, thresholds nobody chose, and the like. "
        "Each finding has\na code, its place and a fix. Starts nothing, changes nothing.",
        epilog=f"codes: {', '.join(CHECKS)}\n"
        "example: gatehouse policy lint --ignore uncalibrated my.yaml\n"
        "exit status: 0 no finding, 1 findings, 2 a file could not be read, or has problems",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser)
    parser.add_argument(
        "--ignore", action="append", default=[], choices=tuple(CHECKS), metavar="CODE", help="leave this check out"
    )
    parser.set_defaults(run=run_lint)


def run_lint(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    try:
        site = site_of(args.config)
    except (FileErrors, OSError):
        site = site_of(None)  # what is wrong with the configuration is told where its guards are read

    def report(checked: Checked, policy: Policy, known: Known) -> Linted:
        found = lint_policy(checked.file, known, site)
        return Linted(checked.file, [one for one in found if one.code not in args.ignore])

    return report_each(args, out, report, refused=lambda _: UNREADABLE)


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found in one file."""

    file: Path
    found: Sequence[Finding]

    @property
    def status(self) -> int:
        return PROBLEMS if self.found else OK

    def as_text(self) -> str:
        found = self.found
        count = "no finding" if not found else "1 finding" if len(found) == 1 else f"{len(found)} findings"
        return "\n".join([*map(str, found), f"{self.file}: {count}"])

    def as_json(self) -> Json:
        findings: list[Json] = [
            {
                "line": one.place.line,
                "column": one.place.column,
                "code": one.code,
                "problem": one.problem,
                "fix": one.fix,
            }
            for one in self.found
        ]
        return {"file": str(self.file), "findings": findings}
