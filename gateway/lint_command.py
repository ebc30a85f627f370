"""`gatehouse policy lint`: what is legal in a policy and probably not meant, a line each with code, place and fix.

For authors and for CI, which can leave a check out by its code. A policy with problems is not linted: they come first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from gateway.jsonstrict import Json, dumps
from gateway.policy_files import OK, PROBLEMS, UNREADABLE, add_files, as_json, as_text, check_file, known_guards
from gateway.policy_files import policy_files as files_in
from policies.lint import CHECKS, lint_policy
from policies.remarks import Finding
from policies.vocabulary import GuardFacts


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
    stream = out or sys.stdout
    known = known_guards(args.config, stream)
    if known is None:
        return UNREADABLE
    return max(_lint(file, known, args, stream) for file in files_in(args.files))


def _lint(file: Path, known: Mapping[str, GuardFacts], args: argparse.Namespace, out: TextIO) -> int:
    checked = check_file(file, known)
    if checked.policy is None:
        print(as_json(checked) if args.json else as_text(checked), file=out)
        return UNREADABLE
    found = [one for one in lint_policy(file, known) if one.code not in args.ignore]
    print(dumps(_json(file, found)).decode() if args.json else _text(file, found), file=out)
    return PROBLEMS if found else OK


def _text(file: Path, found: list[Finding]) -> str:
    count = "no finding" if not found else "1 finding" if len(found) == 1 else f"{len(found)} findings"
    return "\n".join([*map(str, found), f"{file}: {count}"])


def _json(file: Path, found: list[Finding]) -> Json:
    findings: list[Json] = [
        {
            "line": one.place.line,
            "column": one.place.column,
            "code": one.code,
            "problem": one.problem,
            "fix": one.fix,
        }
        for one in found
    ]
    return {"file": str(file), "findings": findings}
