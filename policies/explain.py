"""Why a policy decided as it did: every rule for every part, with the value that each of its conditions looked at.

`decide` says what happens; this says why, from the same findings and the same conditions, and carries that decision
unchanged. Pure. Of the parts it holds paths and scopes, of the facts only values that the policy itself names: no text
of an exchange can get here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from guards.verdict import Finding, Part, Scope, Verdict
from policies.decide import NOT_RUN, decide, silence, verdicts_of
from policies.matchers import ALWAYS, All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score
from policies.model import GUARD_UNAVAILABLE, UNCOVERED, Action, Decision, Facts, Policy, Review, Rule
from policies.spoken import leaf, share


class Outcome(StrEnum):
    """What became of a rule on a part."""

    MATCHED = "matched"
    NOT_MATCHED = "not matched"
    HANGS = "hangs on a missing verdict"
    GIVES_WAY = "gives way to a missing verdict"
    WAITS = "waits for people, for want of a verdict"


_OUTCOMES = {True: Outcome.MATCHED, False: Outcome.NOT_MATCHED, None: Outcome.HANGS}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, with those inside it."""

    kind: str
    """`all`, `any`, `not`, or `one` for a condition that has none inside."""
    holds: bool | None
    text: str = ""
    """As a reviewer reads it: `inject score >= 0.545`."""
    value: str = ""
    """What was found: `0.93`, a count, an error's kind."""
    inner: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleSeen:
    """A rule that looks at the scope of a part."""

    rule: Rule
    outcome: Outcome
    decides: bool
    """Whether it is among those that determined the decision."""
    when: Condition
    unless: Condition | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a detector said of a part, or why it said nothing."""

    detector: str
    verdict: Verdict | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PartSeen:
    """A part with everything that looked at it."""

    path: str
    scope: Scope
    is_covered: bool
    is_accepted: bool
    """Whether somebody accepts that it passes although no rule looks at it."""
    heard: tuple[Heard, ...]
    rules: tuple[RuleSeen, ...]
    """By id; shadow rules, too."""
    not_asked: tuple[str, ...]
    """Rules that do not look at this scope."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision, and why."""

    decision: Decision
    parts: tuple[PartSeen, ...]

    @property
    def unasked(self) -> tuple[str, ...]:
        """Detectors that were not asked, if the decision hangs on them; then what would happen is not known."""
        if self.decision.code != GUARD_UNAVAILABLE and not self.decision.hanging:
            return ()
        deciding = (seen.rule for part in self.parts for seen in part.rules if seen.decides)
        hanging = frozenset[str]().union(*(rule.detectors() for rule in deciding))
        return tuple(sorted({name for name, kind in self.decision.errors if kind == NOT_RUN and name in hanging}))


def explain(policy: Policy, findings: Sequence[Finding], facts: Facts) -> Explanation:
    """The same decision as `decide`, with its reasons."""
    decision = decide(policy, findings, facts)
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.part.path, []).append(finding)
    seen = (_part(policy, part, by_path.get(part.path, ()), facts, decision) for part in facts.parts)
    return Explanation(decision, tuple(seen))


def _part(policy: Policy, part: Part, findings: Iterable[Finding], facts: Facts, decision: Decision) -> PartSeen:
    plan, errors = policy.plan(part.scope), set[tuple[str, str]]()
    verdicts = verdicts_of(part, plan, findings, errors)
    asking = _Asking(policy, verdicts, dict(errors), facts.about(part), decision)
    return PartSeen(
        path=part.path,
        scope=part.scope,
        is_covered=part.path not in decision.uncovered,
        is_accepted=UNCOVERED in {rule for rule, _ in decision.opened},
        heard=tuple(
            Heard(spec.name, verdicts.get(spec.name), asking.errors.get(spec.name, "")) for spec in plan.detectors
        ),
        rules=tuple(asking.rule(rule) for rule in policy.rules_on(part.scope)),
        not_asked=tuple(rule.id for rule in policy.rules if part.scope not in rule.scopes),
    )


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the conditions on one part are asked with."""

    policy: Policy
    verdicts: Mapping[str, Verdict]
    errors: Mapping[str, str]
    facts: Facts
    decision: Decision

    def rule(self, rule: Rule) -> RuleSeen:
        matched = rule.matches(self.verdicts, self.facts)
        unless = None if rule.unless is None else self.condition(rule.unless)
        follows = silence(self.policy, rule, self.verdicts, self.facts.at) if matched is None else None
        instead = Outcome.WAITS if isinstance(follows, Review) else Outcome.GIVES_WAY
        outcome = instead if follows else _OUTCOMES[matched]
        return RuleSeen(rule, outcome, self._decides(rule, matched), self.condition(rule.when), unless)

    def _decides(self, rule: Rule, matched: bool | None) -> bool:
        """A redaction whose places are not all known stops the exchange although its rule matched."""
        hangs = self.decision.code == GUARD_UNAVAILABLE
        partly = bool(matched) and rule.do.action is Action.REDACT and not rule.when.detectors() <= self.verdicts.keys()
        gave_way = rule.id in self.decision.hanging or rule.id in {id_ for id_, _ in self.decision.opened}
        counts = (matched is None or partly) if hangs else bool(matched) or (matched is None and gave_way)
        return counts and rule.acts(self.facts.at) and rule.id in self.decision.rules

    def condition(self, matcher: Matcher) -> Condition:
        holds = matcher.holds(self.verdicts, self.facts)
        if matcher == ALWAYS:
            return Condition("one", holds, "always")
        if isinstance(matcher, All | Any):
            kind = "all" if isinstance(matcher, All) else "any"
            return Condition(kind, holds, inner=tuple(self.condition(child) for child in matcher.children))
        if isinstance(matcher, Not):
            return Condition("not", holds, inner=(self.condition(matcher.child),))
        return Condition("one", holds, leaf(matcher), self._value(matcher))

    def _value(self, matcher: Matcher) -> str:
        if isinstance(matcher, Fact):
            own = self.facts.value(matcher.name)
            return own if own in matcher.values else "another" if own else "not said"
        name = str(getattr(matcher, "detector", ""))
        verdict = self.verdicts.get(name)
        return self.errors.get(name, NOT_RUN) if verdict is None else _found(matcher, verdict)


def _found(matcher: Matcher, verdict: Verdict) -> str:
    """What the condition compares with its bound."""
    if isinstance(matcher, Score):
        return share(verdict.score_ppm)
    if isinstance(matcher, Count):
        return str(sum(not matcher.labels or span.label in matcher.labels for span in verdict.spans))
    found = dict(verdict.categories)
    if isinstance(matcher, AnyCategory):
        asked = [(code, found[code]) for code in matcher.thresholds if code in found]
    elif isinstance(matcher, OnlyCategories):
        reached = matcher.thresholds
        asked = [(code, score) for code, score in found.items() if score >= reached.get(code, matcher.default)]
    else:
        raise AssertionError(f"no value for {type(matcher).__name__}")
    return ", ".join(f"{code} {share(score)}" for code, score in asked) or "none"
