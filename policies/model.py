"""A policy as the gateway uses it, and what it concludes.

Everything here is frozen. A Policy is built by policies/load.py only, and carries two digests: `digest` of what it
means, equal for equal meaning on every machine, and `source_digest` of the bytes it was read from. Rules are indexed by
scope once, when the policy is built, because deciding is on the path of every request. No value is a float.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from guards.verdict import Part, Scope, Verdict
from policies.matchers import ALWAYS, Matcher

if TYPE_CHECKING:
    from policies.cases import Case

GUARD_UNAVAILABLE = "guard_unavailable"
UNCOVERED_PART = "uncovered_part"
REDACTION_IMPOSSIBLE = "redaction_impossible"
CHARS_PER_TOKEN = 4
"""What a token counts for in hold-back sizes. The gateway has no tokenizer of the upstream's."""


class Action(IntEnum):
    """The lattice: the strictest of all matching rules is what happens."""

    ALLOW = 0
    ANNOTATE = 1
    FLAG = 2
    REDACT = 3
    REPLACE = 4
    ROUTE = 5
    REVIEW = 6
    BLOCK = 7


class Mode(StrEnum):
    """Whether a rule acts, or only leaves a note of what it would have done."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


Option: TypeAlias = str | int | tuple[str, ...] | Mapping[str, str]
"""Of a detector, for its guard."""


def _pairs(option: Mapping[str, str]) -> list[tuple[str, str]]:
    """A mapping in its own order, which may be that of a prompt."""
    return list(option.items())


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
    """`closed` is the only choice in this version."""
    options: Mapping[str, Option]
    """What the guard itself is given: `find`, `families`, `pattern`, `views`. Equal meaning has one spelling."""
    configured: tuple[str, ...] = ()
    """Of a guard that only a configuration names: its profile and its categories, which are part of what is meant."""
    asks: str = field(init=False)
    """Digest of what the guard is asked for. A recorded finding answers for another policy only if this is equal."""

    def __post_init__(self) -> None:
        meant = json.dumps([self.use, dict(self.options), self.configured], sort_keys=True, default=_pairs)
        object.__setattr__(self, "asks", sha256(meant.encode()).hexdigest()[:16])

    @property
    def timeout_s(self) -> float:
        return self.timeout_ms / 1000


@dataclass(frozen=True, slots=True)
class Do:
    """What a rule does when it matches."""

    action: Action
    code: str = ""
    message: str = ""
    replacement: str = ""
    """For `redact`, with `{label}` where the span's label goes."""
    queue: str = ""
    """With `severity`, set when the rule flags, whatever else it does."""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule matches a part when `when` holds and `unless` does not."""

    id: str
    scopes: frozenset[Scope]
    when: Matcher
    unless: Matcher | None
    do: Do
    mode: Mode = Mode.ENFORCE
    on_error: str = "closed"

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
class Amount:
    """How much text, in the unit the author chose."""

    count: int
    unit: str
    """`tokens` or `characters`."""

    @property
    def chars(self) -> int:
        return self.count * (CHARS_PER_TOKEN if self.unit == "tokens" else 1)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """When text of an answer may leave."""

    mode: str
    """`buffer`: the whole answer after its verdict. `window`: a window after its verdict."""
    window: Amount = Amount(0, "characters")
    """New text that is judged together; the least of it when there is a `window_most`."""
    holdback: Amount = Amount(0, "characters")
    max_wait_ms: int = 1500
    window_most: Amount | None = None
    """Up to which a window may grow when text comes faster than guards judge it."""
    max_delay_ms: int = 0
    """Within this time text leaves once it is judged, the hold-back too; 0: what is held back waits for more text."""

    @property
    def window_chars(self) -> int:
        return self.window.chars

    @property
    def window_most_chars(self) -> int:
        return self.window_most.chars if self.window_most else self.window.chars

    @property
    def holdback_chars(self) -> int:
        return self.holdback.chars

    @property
    def max_wait_s(self) -> float:
        return self.max_wait_ms / 1000

    @property
    def max_delay_s(self) -> float:
        return self.max_delay_ms / 1000 if self.max_delay_ms else math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request and an answer may measure. More is refused, never trimmed."""

    body: int = 2 * 1024 * 1024
    depth: int = 64
    messages: int = 256
    images: int = 0
    tools: int = 64
    input_chars: int = 200_000
    output_chars: int = 100_000
    n: int = 1
    logprobs: bool = True
    """Whether a request may ask for the log-probabilities of the tokens."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules of one scope, ready to run."""

    enforcing: tuple[Rule, ...] = ()
    shadow: tuple[Rule, ...] = ()
    detectors: tuple[DetectorSpec, ...] = ()
    """All that some rule of the scope asks, shadow rules too; sorted by name."""
    is_covered: bool = False
    """Whether some enforcing rule looks at every part of the scope, whoever sends it."""


_NOTHING = Plan()


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
    plans: Mapping[Scope, Plan] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plans = {scope: plan for scope in Scope if (plan := self._planned(scope)) != _NOTHING}
        object.__setattr__(self, "plans", MappingProxyType(plans))

    def plan(self, scope: Scope) -> Plan:
        return self.plans.get(scope, _NOTHING)

    @property
    def redacts_answers(self) -> bool:
        """Whether some rule replaces text of an answer that may be streamed."""
        scopes = (Scope.OUTPUT, Scope.REASONING)
        return any(rule.do.action is Action.REDACT for scope in scopes for rule in self.plan(scope).enforcing)

    def detectors_for(self, scope: Scope) -> tuple[DetectorSpec, ...]:
        """What has to be asked about a part of this scope."""
        return self.plan(scope).detectors

    def _planned(self, scope: Scope) -> Plan:
        rules = [rule for rule in self.rules if scope in rule.scopes]
        names = sorted(frozenset().union(*(rule.detectors() for rule in rules)))
        enforcing = tuple(rule for rule in rules if rule.mode is Mode.ENFORCE)
        return Plan(
            enforcing=enforcing,
            shadow=tuple(rule for rule in rules if rule.mode is Mode.SHADOW),
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


@dataclass(frozen=True, slots=True, order=True)
class Redaction:
    """Raw characters [start, end) of the part at `path`, and what stands there instead."""

    path: str
    start: int
    end: int
    replacement: str
    rule: str


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
    flags: tuple[Flag, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    """Sorted, without overlaps."""
    shadow: tuple[tuple[str, str], ...] = ()
    """(rule, what it would have done: the action's name, or `error`), sorted."""
    errors: tuple[tuple[str, str], ...] = ()
    """(detector, kind) for every verdict that a rule asked for and did not get, sorted."""
    uncovered: tuple[str, ...] = ()
    """Paths of parts that no enforcing rule looked at, sorted."""
    exempt: tuple[str, ...] = ()
    """Paths of parts that rules let pass without any verdict, because none of those that apply asks for one; sorted."""
