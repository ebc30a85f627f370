"""Findings to a Decision: pure, no clock, the strictest rule wins, order means nothing.

What stops an exchange, in the order in which it is reported when several do:
  1. a rule whose `do` is block matched for certain           400, the rule's code
  2. a part that no enforcing rule looked at                   400, `uncovered_part`
  3. a rule hangs on a verdict that is not there               503, `guard_unavailable`
The first two are certain: no guard that recovers would change them, so they are not covered up by a 503 that invites a
retry. Nothing is ever allowed because a verdict is missing. An error, a finding that was not made, and two findings
that contradict each other are the same: no verdict.

A rule looks at a part when its conditions on facts let it; `allow` looks at a part when it matches it.
Shadow rules change nothing and are listed with what they would have done. A rule with `on_error: open` gives way to a
missing verdict as long as somebody accepts that: then it is left out, and a flag says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from guards.verdict import Finding, Part, Verdict
from policies.model import (
    GUARD_UNAVAILABLE,
    REDACTION_IMPOSSIBLE,
    SEED_REQUIRED,
    UNCOVERED_PART,
    Action,
    Decision,
    Facts,
    Flag,
    Mode,
    Plan,
    Policy,
    Redaction,
    Review,
    Risk,
    Rule,
)
from policies.replacements import filled, shown

_T = TypeVar("_T", str, tuple[str, str], Flag, Redaction)
NOT_RUN = "not_run"
CONFLICT = "conflict"
_NOTHING_KNOWN: Mapping[str, Verdict] = {}
RISK_QUEUE = "accepted-risk"
"""Where the flag goes that is left whenever a rule gives way."""
_UNCOVERED_MESSAGE = "a part of the exchange is not covered by the policy"
_UNAVAILABLE_MESSAGE = "a guard that the policy needs gave no verdict"


def decide(policy: Policy, findings: Sequence[Finding], facts: Facts) -> Decision:
    """What the policy says about these parts. Findings for other parts or detectors are not looked at."""
    by_path = _by_path(findings)
    paths: set[str] = set()
    tally = _Tally(policy, facts)
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
        redactions=tuple(cut for cut in decision.redactions if cut.before_audit),
        template=None,
        route=None,
        reviews=(),
    )


def unseeded(decision: Decision) -> Decision:
    """The block that stands in for a route to a model that may be asked only with a `seed`."""
    told = "the request needs a `seed`, so that its answer can be had again"
    return replace(decision, action=Action.BLOCK, code=SEED_REQUIRED, message=told, status=400, route=None, reviews=())


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
        annotations=_all(decision.annotations for decision in decisions),
        template=first.template,
        route=first.route,
        require_seed=first.require_seed,
        reviews=first.reviews,
        opened=_all(decision.opened for decision in decisions),
        exempt=_all(decision.exempt for decision in decisions),
    )


def _all(items: Iterable[tuple[_T, ...]]) -> tuple[_T, ...]:
    """United, sorted, without repeats."""
    return tuple(sorted({item for group in items for item in group}))


@dataclass(slots=True)
class _Tally:
    """Collects over the parts. Everything in it is a set or a maximum, so that no order can show."""

    policy: Policy
    facts: Facts
    action: Action = Action.ALLOW
    rules: dict[str, Rule] = field(default_factory=dict)
    """Those that determine the action."""
    answers: dict[str, Rule] = field(default_factory=dict)
    """Those that put a template in place of the answer."""
    routes: dict[str, Rule] = field(default_factory=dict)
    """Those that send the request to another model."""
    reviews: dict[str, Review] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    flags: set[Flag] = field(default_factory=set)
    cuts: set[Redaction] = field(default_factory=set)
    annotations: set[tuple[str, str]] = field(default_factory=set)
    opened: set[tuple[str, str]] = field(default_factory=set)
    shadow: set[tuple[str, str]] = field(default_factory=set)
    errors: set[tuple[str, str]] = field(default_factory=set)
    uncovered: set[str] = field(default_factory=set)
    exempt: set[str] = field(default_factory=set)

    def judge(self, part: Part, plan: Plan, verdicts: Mapping[str, Verdict]) -> None:
        facts = self.facts.about(part)
        covered = plan.is_covered
        needs_verdict = False
        resting = [rule for rule in plan.suspended if not rule.acts(facts.at)]
        for rule in (*plan.enforcing, *(rule for rule in plan.suspended if rule.acts(facts.at))):
            matched = rule.matches(verdicts, facts)
            if matched:
                covered = True
                if _concerns(rule, part):
                    self._enforce(rule, part, verdicts)
            elif matched is None:
                covered = True
                if not self._gives_way(rule, verdicts):
                    needs_verdict = True
                    self._hide(rule, part)
            elif not covered:
                covered = rule.do.action is not Action.ALLOW and rule.matches(_NOTHING_KNOWN, facts) is not False
        if not covered:
            self.uncovered.add(part.path)
        elif not verdicts and not needs_verdict:
            self.exempt.add(part.path)
        for rule in (*plan.shadow, *resting):
            self._note(rule, rule.matches(verdicts, facts))

    def _note(self, rule: Rule, matched: bool | None) -> None:
        if rule.mode is Mode.OFF:
            self.shadow.add((rule.id, "off"))
        elif matched is not False:
            self.shadow.add((rule.id, rule.do.action.name.lower() if matched else "error"))

    def _enforce(self, rule: Rule, part: Part, verdicts: Mapping[str, Verdict]) -> None:
        do = rule.do
        self._determines(rule, do.action)
        if do.queue:
            self.flags.add(Flag(rule.id, do.queue, do.severity))
        if do.field:
            self.annotations.add((rule.id, do.field))
        if do.review is not None:
            self.reviews[rule.id] = do.review
        if do.model:
            self.routes[rule.id] = rule
        if do.template:
            self.answers[rule.id] = rule
        elif do.action is Action.REPLACE:
            self.cuts.add(Redaction(part.path, 0, len(part.text), do.replacement, rule.id, "replace"))
        if do.action is Action.REDACT:
            if not rule.when.detectors() <= verdicts.keys():
                # It matched without this detector, but what the detector would have cut is not known.
                self._gives_way(rule, verdicts)
            self.cuts.update(_cuts(rule, part, verdicts, self.facts.about(part)))

    def _determines(self, rule: Rule, action: Action) -> None:
        if action > self.action:
            self.action = action
            self.rules = {rule.id: rule}
        elif action is self.action:
            self.rules[rule.id] = rule

    def _gives_way(self, rule: Rule, verdicts: Mapping[str, Verdict]) -> bool:
        """Whether a rule that hangs on a missing verdict is left out, because somebody accepts that."""
        risk = accepted(self.policy, rule, verdicts, self.facts.at)
        if risk is None:
            self.undecided.add(rule.id)
            return False
        self.opened.add((rule.id, risk.ticket))
        self.flags.add(Flag(rule.id, RISK_QUEUE, "high"))
        self._determines(rule, Action.FLAG)
        return True

    def _hide(self, rule: Rule, part: Part) -> None:
        """What must not be kept is in there somewhere, and where it is nobody could say."""
        if rule.do.before_audit and part.text:
            whole = (part.path, 0, len(part.text), filled(rule.do.replacement, "removed", ""), rule.id)
            self.cuts.add(Redaction(*whole, "redact", before_audit=True))

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
        goes_on = action is not Action.BLOCK
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
            annotations=tuple(sorted(self.annotations)),
            template=self.answers[min(self.answers)].do.template if self.answers and goes_on else None,
            route=self.routes[min(self.routes)].do.model if self.routes and goes_on else None,
            require_seed=goes_on and any(rule.do.require_seed for rule in self.routes.values()),
            reviews=tuple(sorted(self.reviews.items())) if goes_on else (),
            opened=tuple(sorted(self.opened)),
            exempt=tuple(sorted(self.exempt)),
        )


def _concerns(rule: Rule, part: Part) -> bool:
    """Whether the rule has something to do about this part.

    A call that a request repeats was reviewed when it left. What a token stands for comes back in a call of an answer,
    so there is nothing to put a token for there.
    """
    is_answer = part.path.startswith("/choices/")
    if rule.do.review is None:
        return not (rule.do.reversible and is_answer)
    return is_answer == (rule.do.review.hold != "request")


def accepted(policy: Policy, rule: Rule, verdicts: Mapping[str, Verdict], at: int | None) -> Risk | None:
    """The accepted risk by which a rule gives way to the verdicts that are missing; None: it does not.

    What the rule says counts, else what each silent detector says, else the policy's defaults. All have to be open, and
    where several are, the one that ends first is named.
    """
    silent = sorted(rule.detectors() - verdicts.keys())
    said = [(rule.on_error, rule.risk)] if rule.on_error else []
    for name in () if said else silent:
        spec = policy.detectors[name]
        said.append((spec.on_error, spec.risk) if spec.on_error else (policy.on_error, policy.risk))
    risks = [risk for kind, risk in said if kind == "open" and risk is not None and at is not None and at < risk.until]
    return min(risks, key=lambda risk: (risk.until, risk.ticket)) if risks and len(risks) == len(said) else None


def _cuts(rule: Rule, part: Part, verdicts: Mapping[str, Verdict], facts: Facts) -> list[Redaction]:
    """The spans that made the rule match. A span outside the text is a guard's mistake: then the whole text goes."""
    length, do = len(part.text), rule.do

    def cut(start: int, end: int, label: str, found: str) -> Redaction:
        placed = filled(do.replacement, label, found)
        kept = shown(do.replacement)
        return Redaction(part.path, start, end, placed, rule.id, "redact", do.before_audit, do.reversible, kept)

    spans = list(rule.when.spans(verdicts, facts))
    if not spans or any(span.end > length for span in spans):
        return [cut(0, length, "removed", "")]
    return [cut(span.start, span.end, span.label, part.text[span.start : span.end]) for span in spans]


def _united(cuts: Iterable[Redaction]) -> tuple[Redaction, ...]:
    """Overlapping cuts become one, with the replacement that shows least; of equals that of the one that begins first.

    One that must not come back, or must not be kept, stays so for all of it.
    """

    def order(cut: Redaction) -> tuple[object, ...]:
        return (cut.path, cut.start, -cut.end, cut.kind != "replace", cut.shows, cut.rule, cut)

    united: list[Redaction] = []
    for cut in sorted(cuts, key=order):
        last = united[-1] if united else None
        if last is None or last.path != cut.path or last.end <= cut.start:
            united.append(cut)
        else:
            united[-1] = _joined(last, cut)
    return tuple(united)


def _joined(first: Redaction, other: Redaction) -> Redaction:
    """One cut for two that overlap."""
    said = min((first, other), key=lambda cut: (cut.reversible, cut.shows))
    end, before_audit = max(first.end, other.end), first.before_audit or other.before_audit
    return replace(said, start=first.start, end=end, before_audit=before_audit)
