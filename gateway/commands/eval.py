"""`gatehouse policy eval`: how well the rules of policy files find what they are for, on the corpora that they pin.

Guards without a model run here; where a rule asks one that has a model, a model host of its own is started and ended,
as by `gatehouse eval`. What is printed holds no text of a corpus.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.errors import ConfigError
from gateway.evaluate.bounds import Share
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.rules import Outcome, asked_of, evaluate_rules, needs_models
from gateway.jsonstrict import Json
from gateway.junit import Result, Suite
from gateway.policy_files import OK, PROBLEMS, UNREADABLE, Checked, Known, add_files, report_each, write_junit
from guards.errors import GuardSetupError
from guards.registry import RULES
from policies.errors import FileErrors
from policies.evals import Eval
from policies.model import Policy


def add_eval(commands: argparse._SubParsersAction[argparse.ArgumentParser], quickstart: Callable[[], Path]) -> None:
    """Add the command. `quickstart` is the configuration that runs the starter guards."""
    parser = commands.add_parser(
        "eval",
        help="measure rules on the corpora that policy files pin",
        description="Judge every row of the corpora under `eval` of policy files and compare how often the rule "
        "matches with the\nbounds there. Guards that need a model run in a model host of their own, ended afterwards.",
        epilog="example: gatehouse policy eval --no-models my.yaml\n"
        "exit status: 0 every bound that was measured holds, 1 one does not, rows were not judged, or the policy has\n"
        "problems, 2 a file or a corpus cannot be used, or a model cannot be started",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser)
    parser.add_argument("--no-models", action="store_true", help="leave out what needs a model, and say so")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results there as JUnit XML, too")
    parser.set_defaults(run=run_eval, quickstart=quickstart)


def run_eval(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    suites: list[Suite] = []

    def report(checked: Checked, policy: Policy, known: Known) -> Evaluated:
        told = _evaluated(checked.file, policy, args)
        suites.append(told.suite())
        return told

    status = report_each(args, out, report)
    return max(status, write_junit(args.junit, suites, out or sys.stdout)) if args.junit else status


def _evaluated(file: Path, policy: Policy, args: argparse.Namespace) -> Evaluated:
    left_out = tuple(entry for entry in policy.evals if args.no_models and needs_models(policy, entry))
    entries = [entry for entry in policy.evals if entry not in left_out]
    try:
        return Evaluated(file, policy.name, asyncio.run(_outcomes(policy, entries, args)), left_out)
    except (EvaluationError, GuardSetupError, FileErrors, ConfigError) as exc:
        return Evaluated(file, policy.name, (), left_out, str(exc))


async def _outcomes(policy: Policy, entries: Sequence[Eval], args: argparse.Namespace) -> tuple[Outcome, ...]:
    uses = sorted({spec.use for entry in entries for spec in asked_of(policy, entry)} - set(RULES))
    if not uses:
        return await evaluate_rules(policy, entries, {})
    from gateway.config import load_config
    from gateway.evaluate.session import model_sources

    async with model_sources(uses, load_config(args.config or args.quickstart()), None) as sources:
        return await evaluate_rules(policy, entries, sources)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of one file."""

    file: Path
    name: str
    outcomes: tuple[Outcome, ...] = ()
    left_out: tuple[Eval, ...] = ()
    """They need a model, and none was to be asked."""
    failed: str = ""
    """Why nothing was measured."""

    @property
    def status(self) -> int:
        return UNREADABLE if self.failed else PROBLEMS if any(one.problems for one in self.outcomes) else OK

    def as_text(self) -> str:
        if self.failed:
            return f"{self.failed}\n{self.file}: nothing was measured"
        lines = [_line(one) for one in self.outcomes]
        lines += [f"{entry.place}: {_what(entry)}: not run, it needs a model" for entry in self.left_out]
        held = sum(not one.problems for one in self.outcomes)
        told = f"{held} of {len(self.outcomes)} evaluations hold" if self.outcomes else "no evaluation was run"
        left = f", {len(self.left_out)} not run" if self.left_out else ""
        return "\n".join([*lines, f"{self.file}: {told}{left}"])

    def as_json(self) -> Json:
        report: dict[str, Json] = {"file": str(self.file), "evaluations": [_json(one) for one in self.outcomes]}
        report["not_run"] = [_entry_json(entry) for entry in self.left_out]
        return report | ({"failed": self.failed} if self.failed else {})

    def suite(self) -> Suite:
        """For JUnit; what was not run is not in it, and why nothing was measured is an error."""
        results = [Result(_what(one.asked), one.asked.place.line, failures=one.problems) for one in self.outcomes]
        results += [Result("eval", errors=tuple(self.failed.splitlines()))] if self.failed else []
        return Suite(str(self.file), self.name, results)


def _what(entry: Eval) -> str:
    return f"rule `{entry.rule}` on `{entry.corpus.path}`"


def _line(one: Outcome) -> str:
    measured = f"recall {_share(one.recall)}, false alarms {_share(one.fpr)}"
    return f"{one.asked.place}: {_what(one.asked)}: {measured}: {'; '.join(one.problems) or 'holds'}"


def _share(share: Share) -> str:
    """With the bounds of the rate behind it: a few rows show little."""
    if share.value is None:
        return "not measured"
    return f"{share.value:.3f} ({share.count} of {share.of}, 95 % within {share.low:.3f} to {share.high:.3f})"


def _entry_json(entry: Eval) -> dict[str, Json]:
    corpus: dict[str, Json] = {"file": entry.corpus.path, "digest": entry.corpus.digest}
    bounds: dict[str, Json] = {"min_recall_ppm": entry.least_recall_ppm, "max_fpr_ppm": entry.most_fpr_ppm}
    return {"line": entry.place.line, "rule": entry.rule, "corpus": corpus, **bounds}


def _json(one: Outcome) -> dict[str, Json]:
    def share(found: Share) -> Json:
        return {"count": found.count, "of": found.of, "low": found.low, "high": found.high}

    measured: dict[str, Json] = {"recall": share(one.recall), "fpr": share(one.fpr), "unjudged": one.unjudged}
    return _entry_json(one.asked) | measured | {"holds": not one.problems, "problems": list[Json](one.problems)}
