"""A policy as the gateway uses it, and what it concludes.

Everything here is frozen. A Policy is built by policies/load.py only, and carries two digests: `digest` of what it
means, equal for equal meaning on every machine, and `source_digest` of the bytes it was read from. Rules are indexed by
scope once, when the policy is built, because deciding is on the path of every request. No value is a float.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from guards.verdict import Part, Scope, Verdict
from policies.actions import (
    GUARD_UNAVAILABLE,
    REDACTION_IMPOSSIBLE,
    REVIEW_DENIED,
    REVIEW_EXPIRED,
    SEED_REQUIRED,
    UNCOVERED,
    UNCOVERED_PART,
    Action,
    Do,
    Review,
    Risk,
)
from policies.keeping import Keeping
from policies.matchers import ALWAYS, All, Any, Matcher, Not, combined
from policies.settings import STREAMED_SCOPES, Limits, StreamSpec

if TYPE_CHECKING:
    from policies.cases import Case
    from policies.evals import Eval

__all__ = [
    "GUARD_UNAVAILABLE",
    "REDACTION_IMPOSSIBLE",
    "REVIEW_DENIED",
    "REVIEW_EXPIRED",
    "SEED_REQUIRED",
    "UNCOVERED",
    "UNCOVERED_PART",
    "Action",
    "Decision",
    "DetectorSpec",
    "Do",
    "Facts",
    "Flag",
    "Mode",
    "Option",
    "Plan",
    "Policy",
    "Redaction",
    "Review",
    "Risk",
    "Rule",
    "Thresholds",
]


def _none() -> Mapping[str, str]:
    return MappingProxyType({})


class Mode(StrEnum):
    """Whether a rule acts, only leaves a note of what it would have done, or rests until a day."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"


Option: TypeAlias = str | int | tuple[str, ...] | Mapping[str, str]
"""Of a detector, for its guard."""


def _pairs(option: Mapping[str, str]) -> list[tuple[str, str]]:
    """A mapping in its own order, which may be that of a prompt."""
    return list(option.items())


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on a detector's scores count."""

    threshold_ppm: int
    categories: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Only those that differ from `threshold_ppm`."""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A guard, configured and named."""

    name: str
    use: str
    threshold_ppm: int
    category_thresholds: Mapping[str, int]
    """Only those that differ from `threshold_ppm`."""
    timeout_ms: int
    on_error: str
    """`closed`, `review`, `open`, or empty: what the policy's defaults say."""
    options: Mapping[str, Option]
    """What the guard itself is given: `find`, `families`, `pattern`, `views`. Equal meaning has one spelling."""
    says_threshold: bool = True
    """Whether the threshold is in the file, or is what the guard's own word comes to."""
    configured: tuple[str, ...] = ()
    """Of a guard that only a configuration names: its profile and its categories, which are part of what is meant."""
    risk: Risk | None = None
    """Of `open`."""
    people: Review | None = None
    """Of `review`: who is asked."""
    languages: Mapping[str, Thresholds] = field(default_factory=lambda: MappingProxyType({}))
    """What counts in place of the above when the exchange is said to be in one of these languages."""
    asks: str = field(init=False)
    """Digest of what the guard is asked for. A recorded finding answers for another policy only if this is equal."""

    def __post_init__(self) -> None:
        meant = json.dumps([self.use, dict(self.options), self.configured], sort_keys=True, default=_pairs)
        object.__setattr__(self, "asks", sha256(meant.encode()).hexdigest()[:16])

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.threshold_ppm, self.category_thresholds)

    @property
    def timeout_s(self) -> float:
        return self.timeout_ms / 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule matches a part when `when` holds and `unless` does not."""

    id: str
    scopes: frozenset[Scope]
    when: Matcher
    unless: Matcher | None
    do: Do
    mode: Mode = Mode.ENFORCE
    on_error: str = ""
    """`closed`, `review`, `open`, or empty: what its detectors say, or the policy's defaults."""
    risk: Risk | None = None
    """Of `open`."""
    people: Review | None = None
    """Of `review`: who is asked."""
    until: int | None = None
    """Seconds since 1970; from then on a rule that is `off` or in shadow acts."""
    buffers: bool = False
    """Whether an answer that the rule may look at leaves only as a whole."""
    relaxes: str = ""
    """The rule that does not hold where this one matches."""

    def acts(self, at: int | None) -> bool:
        """Whether it acts at that time. Where the time is not known, nothing rests."""
        return self.mode is Mode.ENFORCE or (self.until is not None and (at is None or at >= self.until))

    def matches(self, verdicts: Mapping[str, Verdict], facts: Facts) -> bool | None:
        """None when that hangs on a detector without a verdict."""
        held = self.when.holds(verdicts, facts)
        if held is False or self.unless is None:
            return held
        excepted = self.unless.holds(verdicts, facts)
        if excepted:
            return False
        return None if excepted is None else held

    def detectors(self) -> frozenset[str]:
        return self.when.detectors() | (self.unless.detectors() if self.unless else frozenset())

    def looks_always(self) -> bool:
        """Whether tenant, app and model cannot keep it from looking at a part; see policies/decide.py."""
        if self.do.action is Action.ALLOW:
            return self.when is ALWAYS and self.unless is None
        return not self.when.asks_facts() and not (self.unless and self.unless.asks_facts())


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules of one scope, ready to run."""

    enforcing: tuple[Rule, ...] = ()
    shadow: tuple[Rule, ...] = ()
    """Without a day on which they begin to act."""
    suspended: tuple[Rule, ...] = ()
    """`off` or in shadow until a day."""
    detectors: tuple[DetectorSpec, ...] = ()
    """All that some rule of the scope asks, shadow rules too; sorted by name."""
    is_covered: bool = False
    """Whether some enforcing rule looks at every part of the scope, whoever sends it."""


_NOTHING = Plan()


def _excepted(rule: Rule, milder: Sequence[Rule]) -> Rule:
    """The rule, but for what others match that relax it. While that is not known, the rule is not settled either."""
    regions = [one.when if one.unless is None else combined(All, (one.when, Not(one.unless))) for one in milder]
    if not regions:
        return rule
    own = () if rule.unless is None else (rule.unless,)
    return replace(rule, unless=combined(Any, (*own, *regions)))


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, whole and checked."""

    name: str
    version: str
    owner: str
    regimes: tuple[str, ...]
    stream: StreamSpec
    limits: Limits
    detectors: Mapping[str, DetectorSpec]
    rules: tuple[Rule, ...]
    """Sorted by id: order in the file has no meaning."""
    cases: tuple[Case, ...] = field(repr=False)
    digest: str
    source_digest: str
    file: str
    on_error: str = "closed"
    risk: Risk | None = None
    """Of `open`."""
    people: Review | None = None
    """Of `review`: who is asked."""
    uncovered: Risk | None = None
    """Who accepts that parts pass which no rule looks at; None: they are refused."""
    templates: Mapping[str, str] = field(default_factory=_none, repr=False)
    """Whole answers, by name."""
    claims: tuple[str, ...] = ()
    """Names of facts that the site defines and sets with its keys; sorted."""
    may_relax: frozenset[str] = frozenset()
    """Rules and scopes about which a policy that extends this one may be milder."""
    audit: Keeping = field(default_factory=Keeping)
    """Whether the text of exchanges is kept."""
    evals: tuple[Eval, ...] = field(default=(), repr=False)
    """How well rules have to find what they are for; no part of what the policy means."""
    plans: Mapping[Scope, Plan] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plans = {scope: plan for scope in Scope if (plan := self._planned(scope)) != _NOTHING}
        object.__setattr__(self, "plans", MappingProxyType(plans))

    def plan(self, scope: Scope) -> Plan:
        return self.plans.get(scope, _NOTHING)

    @property
    def redacts_answers(self) -> bool:
        """Whether some rule replaces text of an answer that may be streamed, now or from a day on."""
        plans = [self.plan(scope) for scope in STREAMED_SCOPES]
        return any(rule.do.action is Action.REDACT for plan in plans for rule in (*plan.enforcing, *plan.suspended))

    def detectors_for(self, scope: Scope) -> tuple[DetectorSpec, ...]:
        """What has to be asked about a part of this scope."""
        return self.plan(scope).detectors

    def rules_on(self, scope: Scope) -> list[Rule]:
        """Those that look at the scope, by id, each with the exceptions that rules there make from it."""
        rules = [rule for rule in self.rules if scope in rule.scopes]
        milder: dict[str, list[Rule]] = {}
        for rule in rules:
            if rule.relaxes:
                milder.setdefault(rule.relaxes, []).append(rule)
        return [_excepted(rule, milder.get(rule.id, ())) for rule in rules]

    def _planned(self, scope: Scope) -> Plan:
        rules = self.rules_on(scope)
        names = sorted(frozenset().union(*(rule.detectors() for rule in rules)))
        enforcing = tuple(rule for rule in rules if rule.mode is Mode.ENFORCE)
        return Plan(
            enforcing=enforcing,
            shadow=tuple(rule for rule in rules if rule.mode is Mode.SHADOW and rule.until is None),
            suspended=tuple(rule for rule in rules if rule.mode is not Mode.ENFORCE and rule.until is not None),
            detectors=tuple(self.detectors[name] for name in names),
            is_covered=any(rule.looks_always() for rule in enforcing),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the exchange is, apart from what detectors say. Tenant and app come from the key, never from the body."""

    parts: tuple[Part, ...]
    tenant: str
    app: str
    model: str
    claims: Mapping[str, str] = field(default_factory=_none)
    """What is said of the request by its key, or by the client where the key lets it: desk, purpose, language."""
    upstream: str = ""
    upstream_class: str = ""
    tool_context: str = "none"
    """`untrusted` when the request holds results of tools: text that somebody else may have written."""
    at: int | None = None
    """Seconds since 1970, handed in: deciding reads no clock."""
    tool: str = ""
    """Which tool the part at hand calls, or was answered by."""
    released: bool = False
    """Whether text of the answer has left before it was judged: then rules about it can only be noted."""

    def about(self, part: Part) -> Facts:
        """The same for one part."""
        return replace(self, tool=part.tool) if part.tool else self

    def value(self, name: str) -> str:
        """The value of a fact; empty when nobody said."""
        return str(getattr(self, name)) if name in _OWN_FACTS else self.claims.get(name, "")


_OWN_FACTS = frozenset(("tenant", "app", "model", "upstream", "upstream_class", "tool_context", "tool"))


@dataclass(frozen=True, slots=True, order=True)
class Redaction:
    """Raw characters [start, end) of the part at `path`, and what stands there instead."""

    path: str
    start: int
    end: int
    replacement: str
    rule: str
    kind: str = "redact"
    """`redact`, or `replace` for a whole part."""
    before_audit: bool = False
    reversible: bool = False
    """Then the replacement has `{token}` in it, which whoever knows the tenant's key fills in."""
    shows: int = field(default=0, compare=False)
    """How many characters of what stood there the replacement may repeat."""


@dataclass(frozen=True, slots=True, order=True)
class Flag:
    """A note for people: the exchange goes on, somebody should look."""

    rule: str
    queue: str
    severity: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy concluded. Equal input gives an equal decision, in any order."""

    action: Action
    rules: tuple[str, ...] = ()
    """Every rule that determined the action, sorted."""
    code: str | None = None
    message: str | None = None
    status: int = 200
    dialect: str = ""
    """Of a block: how the client is told; empty: as is usual."""
    flags: tuple[Flag, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    """Sorted, without overlaps."""
    shadow: tuple[tuple[str, str], ...] = ()
    """(rule, what it would have done: the action's name, `error`, or `off` for one that was not asked), sorted."""
    errors: tuple[tuple[str, str], ...] = ()
    """(detector, kind) for every verdict that a rule asked for and did not get, sorted."""
    uncovered: tuple[str, ...] = ()
    """Paths of parts that no enforcing rule looked at, sorted."""
    annotations: tuple[tuple[str, str], ...] = ()
    """(rule, field) for every note that rules leave in the record, sorted."""
    template: str | None = None
    """The policy's template that is the answer in place of the model's."""
    route: str | None = None
    """The model that the request goes to in place of the one that was asked for."""
    route_engine: str = ""
    """The engine that has to serve it; empty: whichever does."""
    require_seed: bool = False
    """Whether it may go there only with a `seed`."""
    reviews: tuple[tuple[str, Review], ...] = ()
    """(rule, who has to approve), sorted by rule; the exchange waits for all of them."""
    hanging: tuple[str, ...] = ()
    """Rules for which people are asked because a verdict is missing, sorted; they are among `reviews`."""
    opened: tuple[tuple[str, str], ...] = ()
    """(rule, ticket) for everything that goes on only because somebody accepts it: a rule that was left out for want
    of a verdict, a part that no rule looked at (`defaults.uncovered`), a review that nobody decided; sorted."""
    exempt: tuple[str, ...] = ()
    """Paths of parts that rules let pass without any verdict, because none of those that apply asks for one, or
    somebody accepts that there is none; sorted."""
