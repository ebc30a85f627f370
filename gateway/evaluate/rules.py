"""How well the rules of a policy find what they are for, on the corpora that it pins.

A row is flagged when its rule matches it, as in an exchange: detectors judge the text, and the rule's conditions, with
the exceptions that other rules make from it, are asked about what they said. A row on which the rule cannot be decided
because a verdict is missing is counted as such, and then no bound is held. Reports hold no text of a corpus.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.evaluate.bounds import Share, wilson
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.rows import LabelledSet, Row, parse_set
from gateway.evaluate.runner import Pace
from guards.panel import Panel
from guards.registry import RULES, ModelSource, build
from guards.verdict import PPM, Guard, Scope
from policies.evals import Eval
from policies.model import DetectorSpec, Facts, Policy, Rule
from policies.pinned import PinError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one entry of `eval`."""

    asked: Eval
    recall: Share
    fpr: Share
    unjudged: int = 0
    """Rows that the rule could not be decided on."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the entry does not hold."""
        told = [f"{self.unjudged} rows were not judged"] if self.unjudged else []
        least, most = self.asked.least_recall_ppm, self.asked.most_fpr_ppm
        if least is not None and self.recall.count * PPM < least * self.recall.of:
            told.append(f"recall is {_said(self.recall)}, expected at least {least / PPM:g}")
        if most is not None and self.fpr.count * PPM > most * self.fpr.of:
            told.append(f"false alarms are {_said(self.fpr)}, expected at most {most / PPM:g}")
        return tuple(told)


def _said(share: Share) -> str:
    return f"{share.value or 0:.4f} ({share.count} of {share.of})"


@dataclass(frozen=True, slots=True)
class _Timed:
    """What the panel reads of a detector: an evaluation has its own time."""

    name: str
    timeout_s: float


def asked_of(policy: Policy, entry: Eval) -> tuple[DetectorSpec, ...]:
    """The detectors that an entry needs."""
    names = {name for rule in _versions(policy, entry.rule).values() for name in rule.detectors()}
    return tuple(policy.detectors[name] for name in sorted(names))


def needs_models(policy: Policy, entry: Eval) -> bool:
    """Whether a model has to be asked."""
    return any(spec.use not in RULES for spec in asked_of(policy, entry))


def evaluated(policy: Policy) -> tuple[tuple[Outcome, ...], int]:
    """(what came of the entries that need no model, how many need one and were not run).

    Blocks: not for an event loop. Raises EvaluationError.
    """
    entries = [entry for entry in policy.evals if not needs_models(policy, entry)]
    return asyncio.run(evaluate_rules(policy, entries, {})), len(policy.evals) - len(entries)


async def evaluate_rules(
    policy: Policy, entries: Iterable[Eval], sources: Mapping[str, ModelSource], pace: Pace | None = None
) -> tuple[Outcome, ...]:
    """One after the other. Raises EvaluationError, or GuardSetupError for a guard that cannot be asked."""
    built: dict[str, Guard] = {}
    outcomes = []
    for entry in entries:
        specs = asked_of(policy, entry)
        built |= {spec.name: build(spec.use, spec.options, sources) for spec in specs if spec.name not in built}
        judging = _Judging(policy, entry, specs, Panel(built), pace or Pace())
        outcomes.append(await judging.run())
    return tuple(outcomes)


def corpus_of(entry: Eval) -> LabelledSet:
    """The rows that are pinned. Raises EvaluationError with the place of what is wrong."""
    try:
        data = entry.data()
    except PinError as exc:
        raise EvaluationError(f"{entry.place}: corpus `{entry.corpus.path}`: {exc}") from exc
    return parse_set(data, Path(entry.place.file).parent / entry.corpus.path)


class _Judging:
    """One entry."""

    def __init__(self, policy: Policy, entry: Eval, specs: Sequence[DetectorSpec], panel: Panel, pace: Pace) -> None:
        self._entry, self._panel, self._pace = entry, panel, pace
        self._rules = _versions(policy, entry.rule)
        self._timed = {spec.name: _Timed(spec.name, pace.timeout_s) for spec in specs}

    async def run(self) -> Outcome:
        rows = corpus_of(self._entry).rows
        self._check(rows)
        matched = await self._together(rows)
        counts = Counter((row.label, one) for row, one in zip(rows, matched, strict=True) if one is not None)
        recall, fpr = (
            wilson(counts[label, True], counts[label, True] + counts[label, False]) for label in (True, False)
        )
        return Outcome(self._entry, recall, fpr, len(rows) - counts.total())

    def _check(self, rows: Sequence[Row]) -> None:
        """Nothing is measured on rows that the rule does not look at, or on none that a bound is about."""
        entry, told = self._entry, f"{self._entry.place}: corpus `{self._entry.corpus.path}`"
        for row in rows:
            if row.part.scope not in self._rules:
                what = (
                    f"the row in line {row.line} is of `{row.part.scope}`, at which rule `{entry.rule}` does not look"
                )
                raise EvaluationError(f"{told}: {what} (give rows a `role` or a `scope`)")
        for label, bound, what in ((True, entry.least_recall_ppm, "flag"), (False, entry.most_fpr_ppm, "pass")):
            if bound is not None and not any(row.label is label for row in rows):
                raise EvaluationError(f"{told}: no row to {what}, and a bound for those")

    async def _together(self, rows: Sequence[Row]) -> list[bool | None]:
        matched: list[bool | None] = [None] * len(rows)
        waiting = iter(enumerate(rows))

        async def work() -> None:
            for index, row in waiting:
                matched[index] = await self._matches(row)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._pace.concurrency):
                group.create_task(work())
        return matched

    async def _matches(self, row: Row) -> bool | None:
        part, rule = row.part, self._rules[row.part.scope]
        deadline = asyncio.get_running_loop().time() + self._pace.timeout_s
        names = rule.detectors()
        wanted = [self._timed[name] for name in sorted(names)]
        findings = await self._panel.judge([part], lambda _: wanted, deadline, row.context)
        verdicts = {one.detector: one.verdict for one in findings if one.verdict is not None}
        entry = self._entry
        return rule.matches(verdicts, Facts((part,), entry.tenant, entry.app, "", dict(entry.claims)).about(part))


def _versions(policy: Policy, name: str) -> dict[Scope, Rule]:
    """The rule as it is on each scope, with the exceptions that others make from it there."""
    return {scope: rule for scope in Scope for rule in policy.rules_on(scope) if rule.id == name}
