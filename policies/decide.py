"""Findings to a Decision: pure, no clock, the strictest rule wins, order means nothing.

What stops an exchange, in the order in which it is reported when several do:
  1. a rule whose `do` is block matched for certain           400, the rule's code
  2. a part that no enforcing rule looked at                   400, `uncovered_part`
  3. a rule hangs on a verdict that is not there               503, `guard_unavailable`
The first two are certain: no guard that recovers would change them, so they are not covered up by a 503 that invites a
retry. Nothing is ever allowed because a verdict is missing. An error, a finding that was not made, and two findings
that contradict each other are the same: no verdict.

A rule looks at a part when its conditions on facts let it; `allow` looks at a part when it matches it.
Shadow rules change nothing and are listed with what they would have done. So are rules about text that has left before
it was judged. A rule with `on_error: open` gives way to a missing verdict as long as somebody accepts that: then it is
left out, and a flag says so. With `on_error: review` people are asked in its place. Parts that no rule looks at may
pass in the same way, if the policy says so and somebody accepts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from guards.verdict import Finding, Part, Verdict
from policies.actions import REFUSAL
from policies.cuts import cuts_of, united
from policies.model import (
    GUARD_UNAVAILABLE,
    REDACTION_IMPOSSIBLE,
    SEED_REQUIRED,
    UNCOVERED,
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
from policies.replacements import filled
from policies.settings import STREAMED_SCOPES

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
        dialect=first.dialect,
        flags=_all(decision.flags for decision in decisions),
        redactions=_all(decision.redactions for decision in decisions),
        shadow=_all(decision.shadow for decision in decisions),
        errors=_all(decision.errors for decision in decisions),
        uncovered=_all(decision.uncovered for decision in decisions),
        annotations=_all(decision.annotations for decision in decisions),
        template=first.template,
        route=first.route,
        route_engine=first.route_engine,
        require_seed=first.require_seed,
        reviews=_reviews(one for decision in decisions for one in decision.reviews if decision.action is action),
        hanging=_all(decision.hanging for decision in decisions if decision.action is action),
        opened=_all(decision.opened for decision in decisions),
        exempt=_all(decision.exempt for decision in decisions),
    )


def _reviews(found: Iterable[tuple[str, Review]]) -> tuple[tuple[str, Review], ...]:
    return tuple(sorted(set(found), key=lambda one: (one[0], one[1].queue, one[1].quorum, repr(one[1]))))


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
    reviews: set[tuple[str, Review]] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    """Those for which people are asked because a verdict is missing."""
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
        resting = [rule for rule in plan.suspended if not rule.acts(facts.at)]
        acting = (*plan.enforcing, *(rule for rule in plan.suspended if rule.acts(facts.at)))
        has_left = facts.released and part.scope in STREAMED_SCOPES
        covered, needs_verdict = plan.is_covered, False
        for rule in acting:
            matched = rule.matches(verdicts, facts)
            covered = covered or _looks(rule, matched, facts)
            if has_left and (matched is None or rule.do.action > Action.FLAG):
                self._note(rule, matched)
            elif matched and _concerns(rule, part):
                self._enforce(rule, part, verdicts)
            elif matched is None and not self._goes_on(rule, verdicts, part):
                needs_verdict = True
                self._hide(rule, part)
        if not covered:
            self._uncover(part, verdicts, has_left=has_left)
        elif not verdicts and not needs_verdict:
            self.exempt.add(part.path)
        for rule in (*plan.shadow, *resting):
            if rule.mode is Mode.OFF:
                self.shadow.add((rule.id, "off"))
            else:
                self._note(rule, rule.matches(verdicts, facts))

    def _uncover(self, part: Part, verdicts: Mapping[str, Verdict], *, has_left: bool) -> None:
        """No rule looks at the part: it is refused, or somebody accepts that it is not, or it has left already."""
        if has_left:
            self.shadow.add((UNCOVERED, "block"))
        else:
            self.uncovered.add(part.path)
        if not verdicts and (has_left or self._is_uncovered_accepted):
            self.exempt.add(part.path)

    @property
    def _is_uncovered_accepted(self) -> bool:
        risk = self.policy.uncovered
        return risk is not None and _holds(risk, self.facts.at)

    def _note(self, rule: Rule, matched: bool | None) -> None:
        if matched is not False:
            self.shadow.add((rule.id, rule.do.action.name.lower() if matched else "error"))

    def _enforce(self, rule: Rule, part: Part, verdicts: Mapping[str, Verdict]) -> None:
        do = rule.do
        self._determines(rule, do.action)
        if do.queue:
            self.flags.add(Flag(rule.id, do.queue, do.severity))
        if do.field:
            self.annotations.add((rule.id, do.field))
        if do.review is not None:
            self.reviews.add((rule.id, do.review))
        if do.model:
            self.routes[rule.id] = rule
        if do.template:
            self.answers[rule.id] = rule
        elif do.action is Action.REPLACE:
            self.cuts.add(Redaction(part.path, 0, len(part.text), do.replacement, rule.id, "replace"))
        if do.action is Action.REDACT:
            if not rule.when.detectors() <= verdicts.keys():
                # It matched without this detector, but what the detector would have cut is not known.
                self._goes_on(rule, verdicts, part)
            self.cuts.update(cuts_of(rule, part, verdicts, self.facts.about(part)))

    def _determines(self, rule: Rule, action: Action) -> None:
        if action > self.action:
            self.action = action
            self.rules = {rule.id: rule}
        elif action is self.action:
            self.rules[rule.id] = rule

    def _goes_on(self, rule: Rule, verdicts: Mapping[str, Verdict], part: Part) -> bool:
        """Whether a rule that hangs on a missing verdict does not stop the exchange, and what is done instead."""
        follows = silence(self.policy, rule, verdicts, self.facts.at)
        if follows is None:
            self.undecided.add(rule.id)
            return False
        if isinstance(follows, Review):
            self.reviews.add((rule.id, replace(follows, hold="response" if _is_of_answer(part) else "request")))
            self.hanging.add(rule.id)
            self._determines(rule, Action.REVIEW)
            return True
        self.opened.add((rule.id, follows.ticket))
        self.flags.add(Flag(rule.id, RISK_QUEUE, "high"))
        self._determines(rule, Action.FLAG)
        return True

    def _hide(self, rule: Rule, part: Part) -> None:
        """What must not be kept is in there somewhere, and where it is nobody could say."""
        if rule.do.before_audit and part.text:
            removed = filled(rule.do.replacement, "removed", "")
            self.cuts.add(Redaction(part.path, 0, len(part.text), removed, rule.id, before_audit=True))

    def decision(self) -> Decision:
        if self.action is Action.BLOCK:
            first = self.rules[min(self.rules)].do
            status = 200 if first.dialect == REFUSAL else 400
            blocked = self._decision(Action.BLOCK, self.rules, first.code, first.message or None, status)
            return replace(blocked, dialect=first.dialect)
        if self.uncovered and not self._is_uncovered_accepted:
            return self._decision(Action.BLOCK, (), UNCOVERED_PART, _UNCOVERED_MESSAGE, 400)
        if self.undecided:
            return self._decision(Action.BLOCK, self.undecided, GUARD_UNAVAILABLE, _UNAVAILABLE_MESSAGE, 503)
        if self.uncovered and self.policy.uncovered:
            self.opened.add((UNCOVERED, self.policy.uncovered.ticket))
            self.flags.add(Flag(UNCOVERED, RISK_QUEUE, "high"))
            if self.action < Action.FLAG:
                self.action, self.rules = Action.FLAG, {}
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
            redactions=united(self.cuts),
            shadow=tuple(sorted(self.shadow)),
            errors=tuple(sorted(self.errors)),
            uncovered=tuple(sorted(self.uncovered)),
            annotations=tuple(sorted(self.annotations)),
            template=self.answers[min(self.answers)].do.template if self.answers and goes_on else None,
            route=self.routes[min(self.routes)].do.model if self.routes and goes_on else None,
            route_engine=self.routes[min(self.routes)].do.engine if self.routes and goes_on else "",
            require_seed=goes_on and any(rule.do.require_seed for rule in self.routes.values()),
            reviews=_reviews(self.reviews) if goes_on else (),
            hanging=tuple(sorted(self.hanging)) if goes_on else (),
            opened=tuple(sorted(self.opened)),
            exempt=tuple(sorted(self.exempt)),
        )


def _looks(rule: Rule, matched: bool | None, facts: Facts) -> bool:
    """Whether the rule looks at a part: `allow` does where it matches, others unless facts keep them away."""
    if matched is not False:
        return True
    return rule.do.action is not Action.ALLOW and rule.matches(_NOTHING_KNOWN, facts) is not False


def _is_of_answer(part: Part) -> bool:
    return part.path.startswith("/choices/")


def _concerns(rule: Rule, part: Part) -> bool:
    """Whether the rule has something to do about this part.

    A call that a request repeats was reviewed when it left. What a token stands for comes back in a call of an answer,
    so there is nothing to put a token for there.
    """
    is_answer = _is_of_answer(part)
    if rule.do.review is None:
        return not (rule.do.reversible and is_answer)
    return is_answer == (rule.do.review.hold != "request")


def silence(policy: Policy, rule: Rule, verdicts: Mapping[str, Verdict], at: int | None) -> Risk | Review | None:
    """What follows for a rule from the verdicts that are missing: a risk by which it gives way, people, or a refusal.

    What the rule says counts, else what each silent detector says, else the policy's defaults. The strictest counts:
    one that is closed, or open and over, closes; then people are asked; of risks the one that ends first is named.
    """
    said = [(rule.on_error, rule.risk, rule.people)] if rule.on_error else []
    for name in () if said else sorted(rule.detectors() - verdicts.keys()):
        spec = policy.detectors[name]
        own = (spec.on_error, spec.risk, spec.people)
        said.append(own if spec.on_error else (policy.on_error, policy.risk, policy.people))
    risks = [risk for kind, risk, _ in said if kind == "open" and risk and _holds(risk, at)]
    reviews = [people for kind, _, people in said if kind == "review" and people]
    if not said or len(risks) + len(reviews) < len(said):
        return None
    if not reviews:
        return min(risks, key=lambda risk: (risk.until, risk.ticket))
    # What must not be kept anywhere cannot be shown to anybody either.
    return None if rule.do.before_audit else max(reviews, key=lambda one: (one.quorum, -one.timeout_ms, one.queue))


def _holds(risk: Risk, at: int | None) -> bool:
    return at is not None and at < risk.until
