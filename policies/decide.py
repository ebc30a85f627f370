"""Findings to a Decision: pure, no clock, the strictest rule wins, order means nothing.

What stops an exchange, in the order in which it is reported when several do:
  1. a rule whose `do` is block matched for certain           400, the rule's code
  2. a part that no enforcing rule looked at                   400, `uncovered_part`
  3. a rule hangs on a verdict that is not there               503, `guard_unavailable`
The first two are certain: no guard that recovers would change them, so they are not covered up by a 503 that invites a
retry. Nothing is ever allowed because a verdict is missing. An error, a finding that was not made, and two findings
that contradict each other are the same: no verdict.

A rule looks at a part when its conditions on tenant, app and model let it; `allow` looks at a part when it matches it.
Shadow rules change nothing and are listed with what they would have done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from guards.verdict import Finding, Part, Verdict
from policies.model import (
    GUARD_UNAVAILABLE,
    REDACTION_IMPOSSIBLE,
    UNCOVERED_PART,
    Action,
    Decision,
    Facts,
    Flag,
    Plan,
    Policy,
    Redaction,
    Rule,
)

_T = TypeVar("_T", str, tuple[str, str], Flag, Redaction)
NOT_RUN = "not_run"
CONFLICT = "conflict"
_NOTHING_KNOWN: Mapping[str, Verdict] = {}
_UNCOVERED_MESSAGE = "a part of the exchange is not covered by the policy"
_UNAVAILABLE_MESSAGE = "a guard that the policy needs gave no verdict"


def decide(policy: Policy, findings: Sequence[Finding], facts: Facts) -> Decision:
    """What the policy says about these parts. Findings for other parts or detectors are not looked at."""
    by_path = _by_path(findings)
    paths: set[str] = set()
    tally = _Tally(facts)
    for part in facts.parts:
        if part.path in paths:
            raise ValueError("two parts have the same path, expected one part for each place in the request")
        paths.add(part.path)
        plan = policy.plan(part.scope)
        tally.judge(part, plan, verdicts_of(part, plan, by_path.get(part.path, ()), tally.errors))
    return tally.decision()


def _by_path(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        found = by_path.get(finding.part.path)
        if found is None:
            by_path[finding.part.path] = [finding]
        else:
            found.append(finding)
    return by_path


def verdicts_of(
    part: Part, plan: Plan, findings: Iterable[Finding], errors: set[tuple[str, str]]
) -> Mapping[str, Verdict]:
    """By detector. Whatever a rule of the scope asks for and does not get is added to `errors`."""
    verdicts: dict[str, Verdict] = {}
    refused: dict[str, str] = {}
    for finding in findings:
        name, verdict = finding.detector, finding.verdict
        # A finding about another text at the same path says nothing about this one.
        if finding.part is not part and finding.part != part:
            continue
        if name in refused or (name in verdicts and verdicts[name] != verdict):
            refused[name] = str(finding.error) if refused.get(name) == str(finding.error) else CONFLICT
        elif verdict is None:
            refused[name] = str(finding.error)
        else:
            verdicts[name] = verdict
    for name in refused:
        verdicts.pop(name, None)
    for spec in plan.detectors:
        if spec.name not in verdicts:
            errors.add((spec.name, refused.get(spec.name, NOT_RUN)))
    return verdicts


def unredactable(decision: Decision) -> Decision:
    """The block that stands in for a redaction that would break the JSON around it, or that comes too late."""
    return replace(
        decision,
        action=Action.BLOCK,
        code=REDACTION_IMPOSSIBLE,
        message="a part to be redacted is structured text that would no longer be valid, or has left in part",
        status=400,
        redactions=(),
    )


def merged(decisions: Sequence[Decision]) -> Decision:
    """One decision for several that were made of different parts: the strictest, with what all of them noted."""
    if len(decisions) < 2:
        return decisions[0] if decisions else Decision(Action.ALLOW)
    action = max(decision.action for decision in decisions)
    first, *others = sorted(
        (decision for decision in decisions if decision.action is action),
        key=lambda decision: (decision.code != GUARD_UNAVAILABLE, decision.code or "", decision.message or ""),
    )
    return Decision(
        action=action,
        rules=_all(decision.rules for decision in (first, *others)),
        code=first.code,
        message=first.message,
        status=first.status,
        flags=_all(decision.flags for decision in decisions),
        redactions=_all(decision.redactions for decision in decisions),
        shadow=_all(decision.shadow for decision in decisions),
        errors=_all(decision.errors for decision in decisions),
        uncovered=_all(decision.uncovered for decision in decisions),
        exempt=_all(decision.exempt for decision in decisions),
    )


def _all(items: Iterable[tuple[_T, ...]]) -> tuple[_T, ...]:
    """United, sorted, without repeats."""
    return tuple(sorted({item for group in items for item in group}))


@dataclass(slots=True)
class _Tally:
    """Collects over the parts. Everything in it is a set or a maximum, so that no order can show."""

    facts: Facts
    action: Action = Action.ALLOW
    rules: dict[str, Rule] = field(default_factory=dict)
    """Those that determine the action."""
    undecided: set[str] = field(default_factory=set)
    flags: set[Flag] = field(default_factory=set)
    cuts: set[Redaction] = field(default_factory=set)
    shadow: set[tuple[str, str]] = field(default_factory=set)
    errors: set[tuple[str, str]] = field(default_factory=set)
    uncovered: set[str] = field(default_factory=set)
    exempt: set[str] = field(default_factory=set)

    def judge(self, part: Part, plan: Plan, verdicts: Mapping[str, Verdict]) -> None:
        facts = self.facts
        covered = plan.is_covered
        needs_verdict = False
        for rule in plan.enforcing:
            matched = rule.matches(verdicts, facts)
            needs_verdict = needs_verdict or matched is None
            if matched:
                covered = True
                self._enforce(rule, part, verdicts)
            elif matched is None:
                covered = True
                self.undecided.add(rule.id)
            elif not covered:
                covered = rule.do.action is not Action.ALLOW and rule.matches(_NOTHING_KNOWN, facts) is not False
        if not covered:
            self.uncovered.add(part.path)
        elif not verdicts and not needs_verdict:
            self.exempt.add(part.path)
        for rule in plan.shadow:
            matched = rule.matches(verdicts, facts)
            if matched is not False:
                self.shadow.add((rule.id, rule.do.action.name.lower() if matched else "error"))

    def _enforce(self, rule: Rule, part: Part, verdicts: Mapping[str, Verdict]) -> None:
        do = rule.do
        if do.action > self.action:
            self.action = do.action
            self.rules = {rule.id: rule}
        elif do.action is self.action:
            self.rules[rule.id] = rule
        if do.queue:
            self.flags.add(Flag(rule.id, do.queue, do.severity))
        if do.action is Action.REDACT:
            if not rule.when.detectors() <= verdicts.keys():
                # It matched without this detector, but what the detector would have cut is not known.
                self.undecided.add(rule.id)
            self.cuts.update(_cuts(rule, part, verdicts, self.facts))

    def decision(self) -> Decision:
        if self.action is Action.BLOCK:
            first = self.rules[min(self.rules)].do
            return self._decision(Action.BLOCK, self.rules, first.code, first.message or None, 400)
        if self.uncovered:
            return self._decision(Action.BLOCK, (), UNCOVERED_PART, _UNCOVERED_MESSAGE, 400)
        if self.undecided:
            return self._decision(Action.BLOCK, self.undecided, GUARD_UNAVAILABLE, _UNAVAILABLE_MESSAGE, 503)
        return self._decision(self.action, self.rules, None, None, 200)

    def _decision(
        self, action: Action, rules: Iterable[str], code: str | None, message: str | None, status: int
    ) -> Decision:
        return Decision(
            action=action,
            rules=tuple(sorted(rules)),
            code=code,
            message=message,
            status=status,
            flags=tuple(sorted(self.flags)),
            redactions=_united(self.cuts),
            shadow=tuple(sorted(self.shadow)),
            errors=tuple(sorted(self.errors)),
            uncovered=tuple(sorted(self.uncovered)),
            exempt=tuple(sorted(self.exempt)),
        )


def _cuts(rule: Rule, part: Part, verdicts: Mapping[str, Verdict], facts: Facts) -> list[Redaction]:
    """The spans that made the rule match. A span outside the text is a guard's mistake: then the whole text goes."""
    length = len(part.text)
    cuts = [
        Redaction(part.path, span.start, span.end, rule.do.replacement.replace("{label}", span.label), rule.id)
        for span in rule.when.spans(verdicts, facts)
    ]
    if not cuts or any(cut.end > length for cut in cuts):
        return [Redaction(part.path, 0, length, rule.do.replacement.replace("{label}", "removed"), rule.id)]
    return cuts


def _united(cuts: Iterable[Redaction]) -> tuple[Redaction, ...]:
    """Overlapping cuts become one, with the replacement of the one that begins first (the longest, if several do)."""
    united: list[Redaction] = []
    for cut in sorted(cuts, key=lambda cut: (cut.path, cut.start, -cut.end, cut.rule, cut.replacement)):
        last = united[-1] if united else None
        if last is None or last.path != cut.path or last.end <= cut.start:
            united.append(cut)
        elif cut.end > last.end:
            united[-1] = Redaction(last.path, last.start, cut.end, last.replacement, last.rule)
    return tuple(united)
