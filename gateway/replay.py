"""Recorded decisions made again under another policy, from the scores in the log: what would an edit have changed?

No model runs and no text is needed. A record holds what every detector said of every part, so the decision follows
again, exactly, from findings and facts. Where it does not (the new policy asks a detector that was not asked this then,
or a record from before scopes were counted) the decision counts as unknown and is never guessed. Redactions are
compared by whether there are any, as the log does not hold the text that their places refer to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from guards.errors import ErrorKind
from guards.verdict import Finding, Part, Scope, Span, Verdict
from policies.decide import NOT_RUN, decide
from policies.matchers import asks
from policies.model import (
    REDACTION_IMPOSSIBLE,
    REVIEW_DENIED,
    REVIEW_EXPIRED,
    SEED_REQUIRED,
    Action,
    Decision,
    Facts,
    Policy,
    Rule,
)
from policies.read_matchers import TOOL_SCOPES
from policies.routing import along, is_routed

REPLAYED: Final = ("request.admit", "request.refuse", "response.progress", "response.complete")
"""Types of records that hold a decision over parts."""
FINDINGS: Final = "request.findings"
"""Rows that the record after them had no room for."""
EXAMPLES: Final = 5
CLEAN: Final = "/clean/"
"""Where the paths of parts begin that no detector found anything in: a record counts them and does not name them."""

_FOUND_NOTHING: Final = Verdict(0)


class NotReplayable(Exception):
    """The record does not say enough. The message is the reason, in a few words that can be counted."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A decision that comes out otherwise."""

    seq: int
    tenant: str
    was: str
    now: str
    rules: tuple[str, ...]
    """That determine it now; where there are none, those that determined it then."""


@dataclass(slots=True)
class Replay:
    """All decisions of a stretch of the log, made again."""

    decisions: int = 0
    flips: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(was, now), with how often."""
    by_rule: Counter[str] = field(default_factory=Counter)
    by_tenant: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Why a decision could not be made again, with how often."""
    examples: list[Flip] = field(default_factory=list)

    @property
    def flipped(self) -> int:
        return self.flips.total()

    def add(self, flip: Flip | None) -> None:
        self.decisions += 1
        if flip is None:
            return
        self.flips[flip.was, flip.now] += 1
        self.by_rule.update(flip.rules)
        self.by_tenant[flip.tenant] += 1
        if self.flips[flip.was, flip.now] <= EXAMPLES:
            self.examples.append(flip)


def replay(policy: Policy, records: Iterable[Mapping[str, Any]]) -> Replay:
    """Decide all of these records again, in the order of the log."""
    result = Replay()
    earlier: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        kind, request = record.get("type"), str(record.get("req"))
        if kind == FINDINGS:
            earlier.setdefault(request, []).extend(_rows(record))
        elif kind in REPLAYED and "guards" in record:
            try:
                result.add(_flip(policy, record, earlier.pop(request, [])))
            except NotReplayable as exc:
                result.unknown[str(exc)] += 1
    return result


def _flip(policy: Policy, record: Mapping[str, Any], earlier: list[dict[str, Any]]) -> Flip | None:
    was, decision = _object(record.get("decision")), redecide(policy, record, earlier)
    before, after = str(was.get("action")), decision.action.name.lower()
    if before == after and (decision.action is not Action.BLOCK or was.get("code") == decision.code):
        return None
    if _stands_in_for(str(was.get("code")), decision):
        return None
    if before == after:
        before, after = f"{before} {was.get('code')}", f"{after} {decision.code}"
    rules = decision.rules or tuple(str(rule) for rule in _list(was.get("rules")))
    return Flip(int(record.get("seq", -1)), str(record.get("tenant", "")), before, after, rules)


def _stands_in_for(code: str, decision: Decision) -> bool:
    """Whether a block with this code is what then came of the same decision: what people said, or what the text was."""
    if code in (REVIEW_DENIED, REVIEW_EXPIRED):
        return bool(decision.reviews)
    if code == SEED_REQUIRED:
        return decision.require_seed
    return code == REDACTION_IMPOSSIBLE and decision.action in (Action.REDACT, Action.REPLACE)


def redecide(policy: Policy, record: Mapping[str, Any], earlier: list[dict[str, Any]] | None = None) -> Decision:
    """What the policy says of a recorded exchange, or NotReplayable. `earlier` are rows of its `request.findings`."""
    findings, facts = evidence(policy, record, earlier)
    decision = along(list(_on_the_way(policy, record, findings, facts)))
    missing = sorted({name for name, kind in decision.errors if kind == NOT_RUN})
    if missing and (decision.code == "guard_unavailable" or decision.hanging):
        raise NotReplayable(f"detector `{missing[0]}` was not asked this then")
    return decision


def _on_the_way(policy: Policy, record: Mapping[str, Any], findings: list[Finding], facts: Facts) -> Iterator[Decision]:
    """For each place that the request was sent on from, as far as this policy sends it on, and for where it went."""
    for row in map(_object, _list(_object(record.get("target")).get("via"))):
        earlier = replace(facts, upstream=str(row.get("upstream", "")), upstream_class=str(row.get("class", "")))
        decision = decide(policy, findings, earlier)
        yield decision
        if not is_routed(decision):
            return
    yield decide(policy, findings, facts)


def evidence(
    policy: Policy, record: Mapping[str, Any], earlier: list[dict[str, Any]] | None = None
) -> tuple[list[Finding], Facts]:
    """What a record says was found, as far as it answers what the policy asks; or NotReplayable."""
    rows = [(str(row.get("detector")), row) for row in earlier or ()]
    guards = [_object(guard) for guard in _list(record.get("guards"))]
    rows += [(str(guard.get("name")), row) for guard in guards for row in _rows(guard)]
    told = sum(int(guard.get("rows_before", 0)) for guard in guards)
    if told > len(earlier or ()):
        raise NotReplayable("its findings begin before the stretch that was asked for")
    parts = _parts(record, rows)
    findings = list(_findings(policy, parts, rows, {str(guard.get("name")): guard for guard in guards}))
    _check_tools(policy, record, parts)
    return findings, _facts(record, tuple(parts.values()))


def _facts(record: Mapping[str, Any], parts: tuple[Part, ...]) -> Facts:
    target, said = _object(record.get("target")), _object(record.get("facts"))
    time_ns = str(record.get("ts", ""))
    return Facts(
        parts,
        str(record.get("tenant", "")),
        str(record.get("app", "")),
        str(target.get("model_req", "")),
        claims={name: str(value) for name, value in said.items() if name not in ("upstream_class", "tool_context")},
        upstream=str(target.get("upstream", "")),
        upstream_class=str(said.get("upstream_class", "")),
        tool_context=str(said.get("tool_context", "none")),
        at=int(time_ns) // 10**9 if time_ns.isdecimal() else None,
        released=_object(record.get("stream")).get("mode") == "shadow_only" and record.get("admit") is not None,
    )


def _check_tools(policy: Policy, record: Mapping[str, Any], parts: Mapping[str, Part]) -> None:
    """A rule about tools needs to know them all, and records begin to name them with the first such version."""
    coverage = _object(record.get("coverage"))
    told = _list(coverage.get("tools"))
    is_whole = "tools" in coverage and len(told) == int(coverage.get("tools_n", len(told)))
    for scope in {part.scope for part in parts.values()} & TOOL_SCOPES:
        if not is_whole and any(_asks_tool(rule) for rule in policy.rules if scope in rule.scopes):
            raise NotReplayable("it does not name all of its tools")


def _asks_tool(rule: Rule) -> bool:
    return asks(rule.when, ("tool",)) or (rule.unless is not None and asks(rule.unless, ("tool",)))


def _parts(record: Mapping[str, Any], rows: list[tuple[str, dict[str, Any]]]) -> dict[str, Part]:
    """The parts by path: those that some detector found something in, and as many clean ones as were counted."""
    parts: dict[str, Part] = {}
    for _, row in rows:
        path, scope = str(row.get("part")), _scope(row.get("scope"))
        parts.setdefault(path, Part(scope, path, "", ""))
    coverage = _object(record.get("coverage"))
    for row in map(_object, _list(coverage.get("tools"))):
        path = str(row.get("part"))
        parts[path] = Part(_scope(row.get("scope")), path, "", "", tool=str(row.get("tool")))
    counted = _object(coverage.get("scopes"))
    if not counted and coverage.get("parts") != len(parts):
        raise NotReplayable("it was written before scopes were counted")
    named = Counter(str(part.scope) for part in parts.values())
    for name, number in counted.items():
        for index in range(int(number) - named[name]):
            path = f"{CLEAN}{name}/{index}"
            parts[path] = Part(_scope(name), path, "", "")
    return parts


def _findings(
    policy: Policy, parts: Mapping[str, Part], rows: list[tuple[str, dict[str, Any]]], run: Mapping[str, dict[str, Any]]
) -> Iterator[Finding]:
    """What each detector of the policy said then. One that was asked and has no row for a part found nothing in it.

    Answers count only if the question was the same: the guard, its options, and the scopes it was asked about.
    """
    by_place = {(name, str(row.get("part"))): row for name, row in rows}
    for path, part in parts.items():
        for spec in policy.detectors_for(part.scope):
            guard = run.get(spec.name, {})
            if guard.get("asks") != spec.asks or str(part.scope) not in _list(guard.get("scopes")):
                continue
            row = by_place.get((spec.name, path))
            verdict = _FOUND_NOTHING if row is None else _verdict(row)
            yield Finding(spec.name, part, verdict, None if verdict is not None else _error(row))


def _verdict(row: Mapping[str, Any]) -> Verdict | None:
    if row.get("outcome") != "ok":
        return None
    score, windows = int(row.get("score_ppm", 0)), int(row.get("windows", 1))
    if "spans" not in row and "spans_n" not in row and "cats" not in row:  # as most are
        return Verdict(score, windows=windows)
    spans = [Span(int(start), int(end), str(label)) for start, end, label in _list(row.get("spans"))]
    # Records list the first spans and count all; rules that count see the number that there was.
    more = int(row.get("spans_n", len(spans))) - len(spans)
    last = spans[-1] if spans else None
    spans += [Span(last.end + n, last.end + n + 1, last.label) for n in range(more)] if last else []
    cats = tuple((str(code), int(score)) for code, score in _list(row.get("cats")))
    return Verdict(score, cats, tuple(sorted(spans)), windows)


def _error(row: Mapping[str, Any] | None) -> ErrorKind:
    try:
        return ErrorKind(str((row or {}).get("error")))
    except ValueError:
        raise NotReplayable("it holds an error of another version") from None


def _scope(value: object) -> Scope:
    try:
        return Scope(str(value))
    except ValueError:
        raise NotReplayable("it holds a scope of another version") from None


def _rows(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_object(row) for row in _list(holder.get("rows"))]


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
