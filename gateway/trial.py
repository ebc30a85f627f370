"""A policy on trial: it decides a share of the exchanges, and the policy in force is asked what it would have said.

That second answer changes nothing and stands in no record of the exchange: it is counted. It is made from the same
findings, so it costs no guard, and only where every detector of the policy in force was asked the same; elsewhere it
is not known, and never guessed. An exchange keeps the policy that it began with, whatever becomes of the trial.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Final, TypeAlias

from gateway.entries import policy_identity
from gateway.exchange import Caller
from gateway.jsonstrict import Json
from gateway.policy_source import Found
from gateway.steps import InForce
from guards.verdict import PPM, Finding, Scope
from policies.decide import decide
from policies.model import Decision, Facts, Policy

LEAST: Final = 50
"""Exchanges before a bound is held against them: of fewer, one alone would be a large part."""
LONGEST_S: Final = 30 * 86_400
_LOTS: Final = 2**64


class By(StrEnum):
    """What is drawn. Exchanges of a tenant that was drawn are all decided by the candidate."""

    TENANT = "tenant"
    EXCHANGE = "exchange"


class End(StrEnum):
    """Why a candidate does not come into force."""

    ERRORS = "errors"
    FLIPS = "flips"
    OPERATOR = "operator"
    REPLACED = "replaced"
    """Another policy came into force meanwhile."""
    REFUSED = "refused"
    """When its time was over it could not be promoted: it had expired, or that could not be recorded."""
    RESTART = "restart"

    @property
    def is_verdict(self) -> bool:
        """Whether the candidate stays away until somebody brings it again."""
        return self in (End.ERRORS, End.FLIPS, End.OPERATOR)


@dataclass(frozen=True, slots=True)
class Terms:
    """How much a candidate decides, for how long, and what may come of it."""

    share_ppm: int
    by: By = By.TENANT
    duration_s: float = 2 * 3600.0
    max_flips_ppm: int = 10_000
    """Of the exchanges that could be compared, how many may come out otherwise."""
    max_errors_ppm: int = 10_000
    """Of all exchanges, how many may lack a verdict."""

    def __post_init__(self) -> None:
        if not 0 < self.share_ppm <= PPM:
            raise ValueError(f"the share is {self.share_ppm} ppm, expected more than 0 and at most all")
        if not 0 < self.duration_s <= LONGEST_S:
            raise ValueError(f"a trial of {self.duration_s} s, expected more than 0 and at most 30 days")
        if not 0 <= self.max_flips_ppm <= PPM or not 0 <= self.max_errors_ppm <= PPM:
            raise ValueError("a bound is not a part of all, expected 0 to 1000000 ppm")

    def tenants_of(self, number: int) -> int:
        """How many of them are drawn, never more than was asked for. ValueError if that is nobody: nothing would be
        tried then, and nothing would speak against the candidate."""
        drawn = number * self.share_ppm // PPM
        if self.by is By.TENANT and not drawn:
            told = f"{self.share_ppm / 10_000:g}% of {number} tenants is less than one"
            raise ValueError(f"{told}; ask for a larger share, or for exchanges")
        return drawn

    def fields(self) -> dict[str, Json]:
        """For records and operators."""
        bounds: dict[str, Json] = {"max_flips_ppm": self.max_flips_ppm, "max_errors_ppm": self.max_errors_ppm}
        return {"by": str(self.by), "share_ppm": self.share_ppm, **bounds}


class Outcome(IntEnum):
    """The worst that was seen of an exchange."""

    SAME = 0
    UNKNOWN = 1
    FLIP = 2


Note: TypeAlias = Callable[[Outcome | None, Outcome, tuple[str, str], bool], None]
"""Told of an exchange: the worst seen of it before, the worst now, what differs, whether it lacked a verdict for the
first time."""


@dataclass(slots=True)
class Counts:
    """What came of the exchanges that the candidate decided, each counted once however often it was decided."""

    exchanges: int = 0
    errors: int = 0
    """Those with a decision that lacked a verdict."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    flipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(the policy in force, the candidate) -> how many first differed so."""

    @property
    def flips(self) -> int:
        return self.outcomes[Outcome.FLIP]

    @property
    def unknown(self) -> int:
        return self.outcomes[Outcome.UNKNOWN]

    def exceeded(self, terms: Terms) -> End | None:
        """The bound that does not hold any more."""
        compared = self.exchanges - self.unknown
        if self.exchanges >= LEAST and self.errors * PPM > terms.max_errors_ppm * self.exchanges:
            return End.ERRORS
        if compared >= LEAST and self.flips * PPM > terms.max_flips_ppm * compared:
            return End.FLIPS
        return None

    def fields(self) -> dict[str, Json]:
        """For records and operators."""
        kinds: list[Json] = [{"was": was, "now": now, "n": n} for (was, now), n in sorted(self.flipped.items())]
        numbers: dict[str, Json] = {"exchanges": self.exchanges, "flips": self.flips, "unknown": self.unknown}
        return numbers | {"errors": self.errors, "flipped": kinds[:20]}


class Trial:
    """One candidate beside one policy in force. It ends itself by `exceeded`, in the middle of a decision."""

    def __init__(
        self,
        found: Found,
        candidate: InForce,
        stable: Policy,
        terms: Terms,
        tenants: Collection[str],
        exceeded: Callable[[Trial, End], None],
        who: Mapping[str, Json] | None = None,
        key: bytes | None = None,
    ) -> None:
        """`tenants` are all for whom the policy in force decides. Who is drawn depends on `key`, which nobody knows."""
        self.found, self.candidate, self.terms, self.who = found, candidate, terms, dict(who or {})
        self.counts = Counts()
        self.id = secrets.token_hex(8)
        """By which processes that decide for the same gateway mean the same trial."""
        self.until_s = time.time() + terms.duration_s
        self.stable, self._exceeded, self._is_open = stable, exceeded, True
        self._comparison = Comparison(candidate.policy, stable)
        self._key = key or secrets.token_bytes(32)
        self._of = len(tenants)
        is_drawn = terms.by is By.TENANT
        drawn = sorted(tenants, key=self._lot)[: terms.tenants_of(len(tenants))] if is_drawn else ()
        self._drawn = frozenset(drawn)

    def _lot(self, subject: str) -> int:
        return int.from_bytes(hmac.digest(self._key, subject.encode(), "sha256")[:8])

    def takes(self, caller: Caller, exchange_id: str) -> bool:
        """Whether the candidate decides this exchange."""
        if self.terms.by is By.TENANT:
            return caller.tenant in self._drawn
        return self._lot(exchange_id) * PPM < self.terms.share_ppm * _LOTS

    def pair(self) -> InForce:
        """The candidate for one exchange."""
        return watched(self.candidate, self._comparison, self.note)

    def close(self) -> None:
        """Count nothing more: what is said of the trial from here on is its result."""
        self._is_open = False

    def note(self, was: Outcome | None, now: Outcome, kind: tuple[str, str], is_error: bool) -> None:
        """An exchange was decided, for the first time or again with a worse outcome."""
        if not self._is_open:
            return
        if was is None:
            self.counts.exchanges += 1
        else:
            self.counts.outcomes[was] -= 1
        self.counts.outcomes[now] += 1
        self.counts.errors += is_error
        if now is Outcome.FLIP and was is not Outcome.FLIP:
            self.counts.flipped[kind] += 1
        end = self.counts.exceeded(self.terms)
        if end is not None:
            self.close()
            self._exceeded(self, end)

    def fields(self) -> dict[str, Json]:
        """Whom the trial concerns, and within which bounds."""
        drawn: dict[str, Json] = {"tenants": len(self._drawn), "tenants_of": self._of} if self._drawn else {}
        until = str(int(self.until_s * 1e9))
        return {**self.terms.fields(), **drawn, "until": until, "in_force": self.stable.digest}

    def as_json(self) -> dict[str, Json]:
        """All of it, for operators."""
        policy = policy_identity(self.candidate.policy)
        return {"policy": policy, **self.found.record_fields(), **self.fields(), **self.counts.fields()}


class Comparison:
    """What another policy says of the same findings."""

    def __init__(self, candidate: Policy, stable: Policy) -> None:
        self._stable, self._scopes = stable, _asked_the_same(candidate, stable)

    def compared(self, findings: Sequence[Finding], facts: Facts) -> Decision | None:
        """None: it would have asked something else."""
        if any(part.scope not in self._scopes for part in facts.parts):
            return None
        # What leaves before it is judged is a matter of each policy's own mode.
        released = facts.released and self._stable.stream.mode == "shadow_only"
        return decide(self._stable, findings, replace(facts, released=released))


def watched(candidate: InForce, comparison: Comparison, note: Note) -> InForce:
    """The candidate for one exchange, whose decisions are noted."""
    return replace(candidate, told=_Watched(comparison, note).told)


class _Watched:
    """What was seen so far of one exchange."""

    __slots__ = ("_comparison", "_is_error", "_note", "_outcome")

    def __init__(self, comparison: Comparison, note: Note) -> None:
        self._comparison, self._note, self._is_error = comparison, note, False
        self._outcome: Outcome | None = None

    def told(self, findings: Sequence[Finding], facts: Facts, decision: Decision) -> None:
        """The candidate decided."""
        was, stable = self._outcome, self._comparison.compared(findings, facts)
        now, kind = Outcome.UNKNOWN, ("", "")
        if stable is not None:
            is_flip = (stable.action, stable.code) != (decision.action, decision.code)
            now, kind = Outcome(Outcome.FLIP if is_flip else Outcome.SAME), (_name(stable), _name(decision))
        is_error = bool(decision.errors) and not self._is_error
        self._outcome, self._is_error = max(now, was or Outcome.SAME), self._is_error or is_error
        self._note(was, self._outcome, kind, is_error)


def _name(decision: Decision) -> str:
    name = decision.action.name.lower()
    return f"{name} {decision.code}" if decision.code else name


def _asked_the_same(candidate: Policy, stable: Policy) -> frozenset[Scope]:
    """Scopes in which findings for the candidate answer all that the other policy asks."""
    return frozenset(scope for scope in Scope if _asked(stable, scope) <= _asked(candidate, scope))


def _asked(policy: Policy, scope: Scope) -> set[tuple[str, str]]:
    return {(spec.name, spec.asks) for spec in policy.detectors_for(scope)}
