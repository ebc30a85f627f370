"""The commands of `gatehouse policy`: `check`, `test` and `replay` here, the others in files of their own.

Those about files start nothing, change nothing and need no model; `--config` names the guards of a site's own. A
problem is one line that begins with its place, for people, editors and CI. Exit status says what a script has to
know: 0 no problem, 1 problems found or tests failed, 2 a file could not be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.audit_location import Locate
from gateway.commands.bundle import add_bundle_commands
from gateway.commands.coverage import add_coverage, rehearsed
from gateway.commands.diff import add_diff
from gateway.commands.eval import add_eval
from gateway.commands.explain import add_explain
from gateway.commands.lint import add_lint
from gateway.commands.new import add_new
from gateway.commands.replay import add_replay, replay_log
from gateway.commands.schema import add_schema
from gateway.jsonstrict import Json
from gateway.junit import Result, Suite
from gateway.policy_files import (
    OK,
    PROBLEMS,
    UNREADABLE,
    Checked,
    Known,
    add_files,
    check_file,
    known_guards,
    report_each,
    show,
    write_junit,
)
from gateway.rehearsal import Rehearsed
from policies.model import Mode, Policy


def add_policy_commands(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate, quickstart: Callable[[], Path]
) -> None:
    """Adds `policy` with its subcommands. Each sets `run`: (args, out) -> exit status.

    `locate` finds the audit log, `quickstart` the configuration that runs the starter guards.
    """
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
    add_files(check)
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
    add_files(test)
    test.add_argument("--require-tests", action="store_true", help="fail if an enforcing rule decides in no test")
    test.add_argument("--junit", type=Path, metavar="FILE", help="write the results there as JUnit XML, too")
    test.set_defaults(run=run_test)
    add_replay(commands, locate).set_defaults(run=run_replay)
    add_diff(commands)
    add_explain(commands, locate, quickstart)
    add_schema(commands)
    add_lint(commands)
    add_coverage(commands)
    add_eval(commands, quickstart)
    add_new(commands)
    add_bundle_commands(commands)


def run_check(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    return report_each(args, out, lambda checked, _policy, _known: checked)


def run_test(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. A file with problems fails without its tests being run."""
    suites: list[Suite] = []

    def report(checked: Checked, policy: Policy, known: Known) -> Tested:
        cases, covered = rehearsed(policy)
        told = Tested(checked, cases, args.require_tests)
        suites.append(told.suite(covered.percent))
        return told

    def refused(checked: Checked) -> int:
        reasons = tuple(map(str, checked.problems)) or (f"{checked.file}: cannot be read: {checked.unreadable}",)
        suites.append(Suite(str(checked.file), checked.file.stem, [Result("loads", errors=reasons)]))
        return checked.status

    status = report_each(args, out, report, refused)
    return max(status, write_junit(args.junit, suites, out or sys.stdout)) if args.junit and suites else status


def run_replay(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. A policy with problems decides nothing."""
    stream = out or sys.stdout
    known = known_guards(args.config, stream)
    if known is None:
        return UNREADABLE
    checked = check_file(args.file, known)
    if checked.policy is None:
        show(checked, args, stream)
        return checked.status
    return replay_log(args, checked.policy, stream)


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

    def suite(self, percent: int) -> Suite:
        """For JUnit; a rule that no test decides by is a case of its own."""
        name = self.checked.policy.name if self.checked.policy else ""
        results = [Result(one.case.name, one.case.place.line, one.seconds, one.differences) for one in self.cases]
        for rule in self.untested if self.requires_tests else ():
            results.append(Result(f"rule {rule}", failures=(f"rule `{rule}` decides in no test",)))
        return Suite(str(self.checked.file), name, results, percent)

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
