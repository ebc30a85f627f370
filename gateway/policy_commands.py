"""`gatehouse policy check`: every problem of a policy file on its own line, for people, editors and CI.

Checking starts nothing, changes nothing and needs no model. Exit status says what a script has to know: 0 no problem,
1 problems found, 2 a file could not be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.jsonstrict import Json, dumps
from policies.errors import PolicyErrors, PolicyProblem
from policies.load import load_policy
from policies.model import Policy

OK, PROBLEMS, UNREADABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one file: a policy, or problems, or a reason why it could not be read."""

    file: Path
    policy: Policy | None = None
    problems: tuple[PolicyProblem, ...] = ()
    count: int = 0
    unreadable: str = ""

    @property
    def status(self) -> int:
        return UNREADABLE if self.unreadable else PROBLEMS if self.problems else OK


def add_policy_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `policy` with its subcommands. Each sets `run`: (args, out) -> exit status."""
    policy = subparsers.add_parser("policy", help="check policy files")
    commands = policy.add_subparsers(dest="policy_command", metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="report every problem in policy files",
        description="Read policy files and report every problem in them. Starts nothing, changes nothing.",
        epilog="example: gatehouse policy check policies/library/   # every .yaml file in the folder\n"
        "exit status: 0 no problem, 1 problems found, 2 a file could not be read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a policy file, or a folder of them")
    check.add_argument("--json", action="store_true", help="one JSON object for each file, one a line")
    check.set_defaults(run=run_check)


def run_check(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    stream = out or sys.stdout
    checked = [check_file(file) for file in policy_files(args.files)]
    for one in checked:
        print(_as_json(one) if args.json else _as_text(one), file=stream)
    return max(one.status for one in checked)


def policy_files(paths: Iterable[Path]) -> list[Path]:
    """Folders replaced by the .yaml files in them; a folder without any stays and is reported as unreadable."""
    return [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else []) or [path]]


def check_file(file: Path) -> Checked:
    try:
        return Checked(file, load_policy(file))
    except PolicyErrors as exc:
        return Checked(file, problems=exc.problems, count=exc.count)
    except OSError as exc:
        folder = file.is_dir()
        return Checked(
            file, unreadable="no .yaml file in this folder" if folder else (exc.strerror or "unreadable").lower()
        )


def _as_text(checked: Checked) -> str:
    if checked.unreadable:
        return f"{checked.file}: cannot be read: {checked.unreadable}"
    if checked.policy is None:
        count = "1 problem" if checked.count == 1 else f"{checked.count} problems"
        return "\n".join([*map(str, checked.problems), f"{checked.file}: {count}"])
    policy = checked.policy
    parts = f"{len(policy.detectors)} detectors, {len(policy.rules)} rules, {len(policy.cases)} tests"
    return f"{checked.file}: no problem; {policy.name} {policy.version}, {parts}\n  {policy.digest}"


def _as_json(checked: Checked) -> str:
    problems: list[Json] = [
        {
            "line": problem.place.line,
            "column": problem.place.column,
            "problem": problem.problem,
            "hint": problem.hint,
        }
        for problem in checked.problems
    ]
    report: dict[str, Json] = {"file": str(checked.file), "problems": problems}
    if checked.unreadable:
        report["unreadable"] = checked.unreadable
    if checked.policy is not None:
        policy = checked.policy
        report |= {"name": policy.name, "version": policy.version, "digest": policy.digest}
    return dumps(report).decode()
