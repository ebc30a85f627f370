"""`gatehouse policy coverage`: what the tests of policy files leave untried, a line each with its place.

Runs the tests as `gatehouse policy test` does. Tests that fail say nothing reliable of what they cover, so they are
counted, and the exit status is that of a failure.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.jsonstrict import Json
from gateway.mutation import Mutation, mutation
from gateway.policy_files import OK, PROBLEMS, Checked, Known, add_files, report_each
from gateway.rehearsal import Rehearsed, results_of
from policies.coverage import Condition, Coverage, coverage, watched
from policies.errors import Place
from policies.model import Mode, Policy
from policies.sheet import Sheet

_SIDES = {True: "true", False: "false"}


def add_coverage(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "coverage",
        help="report what the tests in policy files leave untried",
        description="Run the tests in policy files and report rules that decide in none of them, and conditions that "
        "were never\ntrue or never false. Starts nothing, changes nothing.",
        epilog="example: gatehouse policy coverage --min 100 my.yaml\n"
        "         gatehouse policy coverage --mutate --min-score 90 my.yaml\n"
        "exit status: 0 measured, 1 less than --min or --min-score, tests failed or problems found,\n"
        "2 a file could not be read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser)
    parser.add_argument(
        "--mutate", action="store_true", help="also try small mistakes, and report which no test notices"
    )
    parser.add_argument(
        "--min-score", type=_percent, default=0, metavar="PERCENT", help="fail if fewer mistakes are noticed; --mutate"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=60, metavar="N", help="for the mistakes of one file (default: 60); --mutate"
    )
    parser.add_argument("--min", type=_percent, default=0, metavar="PERCENT", help="fail if less than this is tried")
    parser.set_defaults(run=run_coverage)


def _percent(text: str) -> int:
    if not text.isdecimal() or int(text) > 100:
        raise argparse.ArgumentTypeError("expected a whole number 0 to 100")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError("expected a whole number 1 to 3600")
    return int(text)


def run_coverage(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""

    def report(checked: Checked, policy: Policy, known: Known) -> Covered:
        cases, found = rehearsed(policy)
        failed = sum(not case.passed for case in cases)
        sheet = Sheet(policy, checked.file.read_bytes(), known)
        tried = mutation(policy, cases, args.seconds) if args.mutate and not failed else None
        return Covered(checked.file, policy, sheet, found, len(cases), failed, (args.min, args.min_score), tried)

    return report_each(args, out, report)


def rehearsed(policy: Policy) -> tuple[tuple[Rehearsed, ...], Coverage]:
    """All tests of the policy, and what they tried of it."""
    watching, conditions = watched(policy)
    cases = results_of(watching)
    deciding = frozenset[str]().union(*(case.deciding | case.shadow for case in cases))
    return cases, coverage(policy, conditions, deciding)


@dataclass(frozen=True, slots=True)
class Covered:
    """The report of one file."""

    file: Path
    policy: Policy
    sheet: Sheet
    found: Coverage
    tests: int
    failed: int
    least: tuple[int, int]
    """Percent that is enough: of what there is to cover, and of mistakes."""
    mutation: Mutation | None = None

    @property
    def status(self) -> int:
        mistakes = self.mutation
        misses = mistakes is not None and (mistakes.percent < self.least[1] or (self.least[1] and mistakes.untried))
        return PROBLEMS if self.failed or self.found.percent < self.least[0] or misses else OK

    def as_text(self) -> str:
        lines = [(self._place(name), self._told(name)) for name in self.found.untried]
        for condition in self.found.conditions:
            lines += [(self._place(condition.rule, condition.key), told) for told in _sides(condition)]
        return "\n".join([*(f"{place}: {told}" for place, told in sorted(lines)), self._summed_up(), *self._mistakes()])

    def _mistakes(self) -> list[str]:
        mistakes = self.mutation
        if mistakes is None:
            return []
        lines = [(self._place(one.rule, one.key), f"rule `{one.rule}` {one.told}") for one in mistakes.survivors]
        told = f"{self.file}: {mistakes.percent} % of mistakes noticed: {mistakes.killed} of {mistakes.tried}"
        untried = f"; no time for {mistakes.untried} more, see --seconds" if mistakes.untried else ""
        return [*(f"{place}: no test notices: {told}" for place, told in sorted(lines)), told + untried]

    def _place(self, name: str, key: str = "id") -> Place:
        return self.sheet.place_of(name, key)

    def _told(self, name: str) -> str:
        shadow = any(rule.id == name and rule.mode is Mode.SHADOW for rule in self.policy.rules)
        return f"rule `{name}` " + ("in shadow matches in no test" if shadow else "decides in no test")

    def _summed_up(self) -> str:
        rules = sum(rule.mode is not Mode.OFF for rule in self.policy.rules)
        whole = sum(not one.missing for one in self.found.conditions)
        conditions = f"{whole} of {len(self.found.conditions)} conditions are both true and false"
        decided = f"{rules - len(self.found.untried)} of {rules} rules decide"
        told = f"{self.file}: {self.found.percent} % covered by {self.tests} tests: {decided}, {conditions}"
        return told + (f"; {self.failed} of the tests failed" if self.failed else "")

    def as_json(self) -> Json:
        untried: list[Json] = [{"rule": name, "line": self._place(name).line} for name in self.found.untried]
        conditions: list[Json] = [
            {
                "rule": one.rule,
                "line": self._place(one.rule, one.key).line,
                "in": one.key,
                "condition": one.spoken,
                "was_true": True in one.was,
                "was_false": False in one.was,
            }
            for one in self.found.conditions
        ]
        report: dict[str, Json] = {
            "file": str(self.file),
            "percent": self.found.percent,
            "tried": self.found.tried,
            "outcomes": self.found.outcomes,
            "tests": self.tests,
            "failed_tests": self.failed,
            "untried_rules": untried,
            "conditions": conditions,
        }
        return report | ({"mutation": self._mistakes_json(self.mutation)} if self.mutation else {})

    def _mistakes_json(self, mistakes: Mutation) -> Json:
        survivors: list[Json] = [
            {"rule": one.rule, "line": self._place(one.rule, one.key).line, "in": one.key, "mistake": one.told}
            for one in mistakes.survivors
        ]
        numbers: dict[str, Json] = {"percent": mistakes.percent, "killed": mistakes.killed, "tried": mistakes.tried}
        return numbers | {"untried": mistakes.untried, "survivors": survivors}


def _sides(condition: Condition) -> list[str]:
    what = f"`{condition.spoken}` in `{condition.key}` of rule `{condition.rule}`"
    return [f"{what} is {_SIDES[side]} in no test" for side in condition.missing]
