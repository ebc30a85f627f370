"""`gatehouse policy check`, `test` and `replay`: what is wrong with a policy, what it does, and what it would have done.

They start nothing, change nothing and need no model; `--config` names the guards of a site's own. A problem is one
line that begins with its place, for people, editors and CI. Exit status says what a script has to know: 0 no problem,
1 problems found or tests failed, 2 a file could not be read.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.audit_location import Locate
from gateway.guard_settings import facts, guards_in
from gateway.jsonstrict import Json, dumps
from gateway.rehearsal import Rehearsal, Rehearsed
from gateway.replay_command import add_replay, replay_log
from policies.errors import FileErrors, PolicyErrors, PolicyProblem
from policies.load import load_policy
from policies.model import Mode, Policy
from policies.vocabulary import KNOWN_GUARDS, GuardFacts

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


def add_policy_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Adds `policy` with its subcommands. Each sets `run`: (args, out) -> exit status. `locate` finds the audit log."""
    policy = subparsers.add_parser("policy", help="check and test policy files")
    commands = policy.add_subparsers(dest="policy_command", metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="report every problem in policy files",
        description="Read policy files and report every problem in them. Starts nothing, changes nothing.",
        epilog="example: gatehouse policy check policies/library/   # every .yaml file in the folder\n"
        "exit status: 0 no problem, 1 problems found, 2 a file could not be read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(check)
    check.set_defaults(run=run_check)
    test = commands.add_parser(
        "test",
        help="run the tests in policy files",
        description="Run the tests at the end of policy files through the real exchange, with guard models and model "
        "server scripted\nas the tests say. An unfaked guard model gives score 0; the other guards run for real. "
        "Starts nothing, changes nothing.",
        epilog="example: gatehouse policy test --require-tests my.yaml   # fail if a rule decides in no test\n"
        "exit status: 0 all passed, 1 problems found or tests failed, 2 a file could not be read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(test)
    test.add_argument("--require-tests", action="store_true", help="fail if an enforcing rule decides in no test")
    test.set_defaults(run=run_test)
    add_replay(commands, locate).set_defaults(run=run_replay)


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a policy file, or a folder of them")
    command.add_argument(
        "--config", "-c", type=Path, metavar="FILE", help="gatehouse.yaml whose `guards:` the policies may use, too"
    )
    command.add_argument("--json", action="store_true", help="one JSON object for each file, one a line")


def run_check(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    stream = out or sys.stdout
    known = _known_guards(args.config, stream)
    if known is None:
        return UNREADABLE
    checked = [check_file(file, known) for file in policy_files(args.files)]
    for one in checked:
        print(_as_json(one) if args.json else _as_text(one), file=stream)
    return max(one.status for one in checked)


def run_test(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. A file with problems fails without its tests being run."""
    stream = out or sys.stdout
    known = _known_guards(args.config, stream)
    if known is None:
        return UNREADABLE
    status = OK
    for checked in (check_file(file, known) for file in policy_files(args.files)):
        if checked.policy is None:
            print(_as_json(checked) if args.json else _as_text(checked), file=stream)
            status = max(status, checked.status)
            continue
        tested = Tested(checked, asyncio.run(_rehearsed(checked.policy)), args.require_tests)
        print(dumps(tested.as_json()).decode() if args.json else tested.as_text(), file=stream)
        status = max(status, tested.status)
    return status


def run_replay(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. A policy with problems decides nothing."""
    stream = out or sys.stdout
    known = _known_guards(args.config, stream)
    if known is None:
        return UNREADABLE
    checked = check_file(args.file, known)
    if checked.policy is None:
        print(_as_json(checked) if args.json else _as_text(checked), file=stream)
        return checked.status
    return replay_log(args, checked.policy, stream)


async def _rehearsed(policy: Policy) -> tuple[Rehearsed, ...]:
    rehearsal = Rehearsal(policy)
    return tuple([await rehearsal.run(case) for case in policy.cases])


@dataclass(frozen=True, slots=True)
class Tested:
    """What became of the tests of one file."""

    checked: Checked
    cases: tuple[Rehearsed, ...]
    requires_tests: bool

    @property
    def untested(self) -> list[str]:
        """Enforcing rules that decided in no test."""
        policy = self.checked.policy
        enforcing = {rule.id for rule in policy.rules if rule.mode is Mode.ENFORCE} if policy else set()
        return sorted(enforcing.difference(*(case.deciding for case in self.cases)))

    @property
    def failed(self) -> list[Rehearsed]:
        return [case for case in self.cases if not case.passed]

    @property
    def status(self) -> int:
        return PROBLEMS if self.failed or (self.requires_tests and self.untested) else OK

    def as_text(self) -> str:
        lines = [
            f"{failed.case.place}: test `{failed.case.name}`: {difference}"
            for failed in self.failed
            for difference in failed.differences
        ]
        if self.untested:
            lines.append(f"{self.checked.file}: decides in no test: {', '.join(self.untested)}")
        passed = len(self.cases) - len(self.failed)
        lines.append(f"{self.checked.file}: {passed} of {len(self.cases)} tests passed")
        return "\n".join(lines)

    def as_json(self) -> Json:
        tests: list[Json] = [
            {
                "name": one.case.name,
                "line": one.case.place.line,
                "passed": one.passed,
                "differences": list(one.differences),
            }
            for one in self.cases
        ]
        return {"file": str(self.checked.file), "tests": tests, "untested_rules": list(self.untested)}


def policy_files(paths: Iterable[Path]) -> list[Path]:
    """Folders replaced by the .yaml files in them; a folder without any stays and is reported as unreadable."""
    return [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else []) or [path]]


def _known_guards(config: Path | None, out: TextIO) -> Mapping[str, GuardFacts] | None:
    """What the policies may use. None when the configuration cannot say it; why is then on `out`."""
    if config is None:
        return KNOWN_GUARDS
    try:
        return facts(guards_in(config))
    except FileErrors as exc:
        print(f"{exc}\n{config}: {exc.count} problem{'s' if exc.count != 1 else ''} under `guards:`", file=out)
    except OSError as exc:
        print(f"{config}: cannot be read: {(exc.strerror or 'unreadable').lower()}", file=out)
    return None


def check_file(file: Path, known: Mapping[str, GuardFacts] = KNOWN_GUARDS) -> Checked:
    try:
        return Checked(file, load_policy(file, known))
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
