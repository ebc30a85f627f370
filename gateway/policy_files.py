"""Policy files as the commands read them: a policy, every problem in it, or why there is nothing to read.

What all commands of `gatehouse policy` share: the options that name files, the guards of a configuration, the report of
a file that does not load, and the exit status that follows from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.guard_settings import facts, guards_in
from gateway.jsonstrict import Json, dumps
from policies.errors import FileErrors, PolicyErrors, PolicyProblem
from policies.load import load_policy
from policies.model import Policy
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


def known_guards(config: Path | None, out: TextIO) -> Mapping[str, GuardFacts] | None:
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


def as_text(checked: Checked) -> str:
    """Every problem with its place, or what the policy is."""
    if checked.unreadable:
        return f"{checked.file}: cannot be read: {checked.unreadable}"
    if checked.policy is None:
        count = "1 problem" if checked.count == 1 else f"{checked.count} problems"
        return "\n".join([*map(str, checked.problems), f"{checked.file}: {count}"])
    policy = checked.policy
    parts = f"{len(policy.detectors)} detectors, {len(policy.rules)} rules, {len(policy.cases)} tests"
    return f"{checked.file}: no problem; {policy.name} {policy.version}, {parts}\n  {policy.digest}"


def as_json(checked: Checked) -> str:
    """The same as one JSON object."""
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
