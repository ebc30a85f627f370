"""Policy files as the commands read them: a policy, every problem in it, or why there is nothing to read.

What all commands of `gatehouse policy` share: the options that name files, the guards of a configuration, the report of
a file that does not load, and the exit status that follows from it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias

from gateway.guard_settings import facts, guards_in
from gateway.jsonstrict import Json, dumps
from gateway.junit import Suite, junit
from policies.errors import FileErrors, PolicyErrors, PolicyProblem
from policies.load import load_policy
from policies.model import Policy
from policies.vocabulary import KNOWN_GUARDS, GuardFacts

OK, PROBLEMS, UNREADABLE = 0, 1, 2
Known: TypeAlias = Mapping[str, GuardFacts]
"""What policies may use."""


class Report(Protocol):
    """What a command says of one file."""

    @property
    def status(self) -> int: ...

    def as_text(self) -> str: ...

    def as_json(self) -> Json: ...


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

    def as_text(self) -> str:
        """Every problem with its place, or what the policy is."""
        if self.unreadable:
            return f"{self.file}: cannot be read: {self.unreadable}"
        if self.policy is None:
            count = "1 problem" if self.count == 1 else f"{self.count} problems"
            return "\n".join([*map(str, self.problems), f"{self.file}: {count}"])
        policy = self.policy
        parts = f"{len(policy.detectors)} detectors, {len(policy.rules)} rules, {len(policy.cases)} tests"
        return f"{self.file}: no problem; {policy.name} {policy.version}, {parts}\n  {policy.digest}"

    def as_json(self) -> dict[str, Json]:
        """The same as one JSON object."""
        problems: list[Json] = [
            {
                "line": problem.place.line,
                "column": problem.place.column,
                "problem": problem.problem,
                "hint": problem.hint,
            }
            for problem in self.problems
        ]
        report: dict[str, Json] = {"file": str(self.file), "problems": problems}
        if self.unreadable:
            report["unreadable"] = self.unreadable
        if self.policy is not None:
            policy = self.policy
            report |= {"name": policy.name, "version": policy.version, "digest": policy.digest}
        return report


def report_each(
    args: argparse.Namespace,
    out: TextIO | None,
    report: Callable[[Checked, Policy, Known], Report],
    refused: Callable[[Checked], int] = lambda checked: checked.status,
) -> int:
    """Print a report of every file that was named; of one that does not load, why, and `refused` is its exit status."""
    stream = out or sys.stdout
    known = known_guards(args.config, stream)
    if known is None:
        return UNREADABLE
    status = OK
    for checked in (check_file(file, known) for file in policy_files(args.files)):
        policy = checked.policy
        said: Report = checked if policy is None else report(checked, policy, known)
        show(said, args, stream)
        status = max(status, refused(checked) if policy is None else said.status)
    return status


def show(report: Report, args: argparse.Namespace, out: TextIO) -> None:
    """As the command was asked to."""
    print(dumps(report.as_json()).decode() if args.json else report.as_text(), file=out)


def write_junit(file: Path, suites: Sequence[Suite], out: TextIO) -> int:
    """The results as JUnit XML; a status."""
    try:
        file.write_bytes(junit(suites))
    except OSError as exc:
        print(f"{file}: cannot be written: {(exc.strerror or 'unknown').lower()}", file=out)
        return UNREADABLE
    return OK


def add_config(command: argparse.ArgumentParser) -> None:
    """The option that names guards of a site's own."""
    command.add_argument(
        "--config", "-c", type=Path, metavar="FILE", help="gatehouse.yaml whose `guards:` the policies may use, too"
    )


def add_files(command: argparse.ArgumentParser) -> None:
    """Files, `--config` and `--json`."""
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a policy file, or a folder of them")
    add_config(command)
    command.add_argument("--json", action="store_true", help="one JSON object for each file, one a line")


def policy_files(paths: Iterable[Path]) -> list[Path]:
    """Folders replaced by the .yaml files in them; a folder without any stays and is reported as unreadable."""
    return [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else []) or [path]]


def known_guards(config: Path | None, out: TextIO) -> Known | None:
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


def check_file(file: Path, known: Known = KNOWN_GUARDS) -> Checked:
    """Never raises for what is in the file or for a file that is not there."""
    try:
        return Checked(file, load_policy(file, known))
    except PolicyErrors as exc:
        return Checked(file, problems=exc.problems, count=exc.count)
    except OSError as exc:
        folder = file.is_dir()
        return Checked(
            file, unreadable="no .yaml file in this folder" if folder else (exc.strerror or "unreadable").lower()
        )
