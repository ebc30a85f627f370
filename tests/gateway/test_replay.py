"""Decisions made again from the log come out as they did, and otherwise only where the policy differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.entries import Exchange
from gateway.exchange import Caller
from gateway.judgement import judged, overflow_records
from gateway.replay import NotReplayable, redecide, replay
from guards.errors import ErrorKind
from guards.verdict import PPM, Finding, GuardIdentity, Part, Scope, Span, Verdict
from policies.decide import decide
from policies.load import load_policy, parse_policy
from policies.model import Action, Decision, Facts, Policy

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
POLICY = load_policy(LIBRARY / "default.yaml")
SCOPES = tuple(scope for scope in Scope if scope is not Scope.IMAGE)


def parts_of(scopes: list[Scope]) -> tuple[Part, ...]:
    return tuple(Part(scope, f"/messages/{index}/content", "user", "text") for index, scope in enumerate(scopes))


@st.composite
def outcomes(draw: st.DrawFn, use: str) -> Verdict | ErrorKind:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(ErrorKind))
    if use in ("unicode", "secrets", "special_tokens"):
        number = draw(st.sampled_from((0, 0, 1, 3, 40)))
        spans = tuple(Span(at, at + 1, "aws_access_key") for at in range(number))
        return Verdict(PPM if spans else 0, spans=spans)
    score = draw(st.sampled_from((0, 1, 300_000, 545_000, 700_000, 824_999, 825_000, PPM)))
    cats = (("S1", score), ("S9", draw(st.integers(0, score)))) if use == "starter_hazard" else ()
    return Verdict(score, cats)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[tuple[Part, ...], list[Finding]]:
    parts = parts_of(draw(st.lists(st.sampled_from(SCOPES), min_size=1, max_size=6)))
    findings = []
    for part in parts:
        for spec in POLICY.detectors_for(part.scope):
            said = draw(outcomes(spec.use))
            verdict, error = (said, None) if isinstance(said, Verdict) else (None, said)
            findings.append(Finding(spec.name, part, verdict, error))
    return parts, findings


def recorded(
    parts: tuple[Part, ...], findings: list[Finding], policy: Policy = POLICY
) -> tuple[Decision, dict[str, Any], list[dict[str, Any]]]:
    """(the decision, its record, the rows that were written before it), as the gateway makes them."""
    decision = decide(policy, findings, Facts(parts, "clinic", "chat", "scout"))
    identities = {spec.name: GuardIdentity(spec.use, f"{spec.use}/1") for spec in policy.detectors.values()}
    overflow, fields = judged(findings, parts, decision, policy, identities)
    record: dict[str, Any] = {
        "type": "request.admit",
        "seq": 7,
        "req": "r",
        "tenant": "clinic",
        "app": "chat",
        **fields,
    }
    record["target"] = {"model_req": "scout"}
    exchange = Exchange("r", Caller("k", "clinic", "chat"), "/v1/chat/completions", "engine", policy)
    earlier = [row for one in overflow_records(exchange, overflow) for row in one["rows"]]  # type: ignore[union-attr]
    return decision, record, earlier


@given(exchanges())
@settings(max_examples=200, deadline=None)
def test_the_policy_that_decided_decides_the_same_again(made: tuple[tuple[Part, ...], list[Finding]]) -> None:
    decision, record, earlier = recorded(*made)
    again = redecide(POLICY, record, earlier)
    assert (again.action, again.code, again.rules) == (decision.action, decision.code, decision.rules)
    assert again.flags == decision.flags
    assert again.shadow == decision.shadow
    assert len(again.uncovered) == len(decision.uncovered)


def test_findings_that_were_written_apart_count(tmp_path: Path) -> None:
    """More rows than a record has room for; the one that blocks is the last."""
    parts = parts_of([Scope.TOOL_RESULT] * 400)
    findings = [
        Finding(
            spec.name, part, Verdict(900_000 if part is parts[-1] else 1_000) if spec.name == "inject" else Verdict(0)
        )
        for part in parts
        for spec in POLICY.detectors_for(part.scope)
    ]
    decision, record, earlier = recorded(parts, findings)
    assert earlier
    assert redecide(POLICY, record, earlier).code == decision.code == "prompt_attack_retrieved"
    rows = {"type": "request.findings", "req": "r", "rows": earlier}
    assert replay(POLICY, [rows, record]).flipped == 0
    assert replay(POLICY, [record]).unknown == {"its findings begin before the stretch that was asked for": 1}


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Policy:
    text = (LIBRARY / "default.yaml").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (tmp_path / "edited.yaml").write_text(text)
    return load_policy(tmp_path / "edited.yaml")


def scored(ppm: int, detector: str = "inject") -> dict[str, Any]:
    parts = parts_of([Scope.USER])
    findings = [
        Finding(spec.name, parts[0], Verdict(ppm if spec.name == detector else 0))
        for spec in POLICY.detectors_for(Scope.USER)
    ]
    return recorded(parts, findings)[1]


def test_a_threshold_that_moves_flips_exactly_what_lies_between(tmp_path: Path) -> None:
    stricter = edited(tmp_path, ("threshold: 0.545", "threshold: 0.4"))
    records = [scored(ppm) | {"seq": seq} for seq, ppm in enumerate((100_000, 399_999, 400_000, 544_999, 545_000, PPM))]
    result = replay(stricter, records)
    assert (result.decisions, result.flipped) == (6, 2)
    assert result.flips == {("allow", "block"): 2}
    assert result.by_rule == {"injection-user": 2}
    assert result.by_tenant == {"clinic": 2}
    assert [flip.seq for flip in result.examples] == [2, 3]


def test_a_detector_that_asks_something_else_is_not_answered_by_old_findings(tmp_path: Path) -> None:
    other = edited(tmp_path, ("find: [tags, bidi] ", "find: [tags] "))
    result = replay(other, [scored(1_000)])
    assert result.decisions == 0
    assert sum(result.unknown.values()) == 1
    assert "was not asked this then" in next(iter(result.unknown))


def test_a_block_for_sure_is_one_whatever_else_is_unknown(tmp_path: Path) -> None:
    other = edited(tmp_path, ("find: [tags, bidi] ", "find: [tags] "))
    assert redecide(other, scored(PPM)).code == "prompt_attack"


def test_a_record_of_before_scopes_were_counted_is_not_guessed() -> None:
    record = scored(0)
    del record["coverage"]["scopes"]
    record["guards"] = [guard | {"rows": []} for guard in record["guards"]]
    with pytest.raises(NotReplayable, match="before scopes were counted"):
        redecide(POLICY, record)


def test_other_records_are_no_decisions() -> None:
    result = replay(POLICY, [{"type": "policy.load"}, {"type": "request.refuse", "err": {"code": "x"}}, {"seq": 1}])
    assert (result.decisions, result.flipped, dict(result.unknown)) == (0, 0, {})


EFFECTS = parse_policy(
    b"""
gatehouse: policy/v1
name: effects
version: "1"
detectors: {creds: {use: secrets, find: [jwt]}}
rules:
  - {id: keys, on: [user], when: {creds: {count: {gte: 1}}}, do: {redact: {as: x}}}
  - {id: barrier, on: [user], when: {desk: {not_in: [lab]}}, do: {flag: {queue: q}}}
  - {id: people, on: [user], when: {purpose: pay}, do: {review: {queue: q, hold: request}}}
  - {id: seeded, on: [user], when: {purpose: credit}, do: {route: {model: m, require_seed: true}}}
  - {id: tools, on: [tool_call], when: {tool: {not_in: [lookup]}}, do: {block: {code: tool_denied}}}
  - {id: pass, on: [user, tool_call], do: allow}
""",
    "p",
)


def effect(part: Part, found: Verdict, code: str = "", **claims: str) -> dict[str, Any]:
    """A record of one part, as the gateway writes it; `code`: what the decision then came to."""
    exchange = Exchange("id", Caller("k", "t", "a", claims), "/v1", "engine", EFFECTS, "external")
    finding = [Finding("creds", part, found)] if part.scope is Scope.USER else []
    decision = decide(EFFECTS, finding, exchange.facts([part], "m", None))
    if code:
        decision = replace(decision, action=Action.BLOCK, code=code)
    _, fields = judged(finding, [part], decision, EFFECTS, {"creds": GuardIdentity("secrets", "1")})
    return exchange.record("request.admit", "admit") | fields | {"seq": 1}


@pytest.mark.parametrize(
    ("part", "spans", "code", "claims"),
    [
        (Part(Scope.USER, "/a", "user", "text"), 1, "", {}),
        (Part(Scope.USER, "/a", "user", "text"), 1, "redaction_impossible", {}),
        (Part(Scope.USER, "/a", "user", "text"), 0, "", {"desk": "lab"}),
        (Part(Scope.USER, "/a", "user", "text"), 0, "review_denied", {"purpose": "pay"}),
        (Part(Scope.USER, "/a", "user", "text"), 0, "review_expired", {"purpose": "pay"}),
        (Part(Scope.USER, "/a", "user", "text"), 0, "seed_required", {"purpose": "credit"}),
        (Part(Scope.TOOL_CALL, "/b", "tool", "pay", tool="pay"), 0, "", {}),
        (Part(Scope.TOOL_CALL, "/b", "tool", "lookup", tool="lookup"), 0, "", {}),
    ],
)
def test_what_facts_tools_people_and_the_text_made_of_it_is_no_flip(
    part: Part, spans: int, code: str, claims: dict[str, str]
) -> None:
    found = Verdict(PPM if spans else 0, spans=(Span(0, 4, "jwt"),) * spans)
    result = replay(EFFECTS, [effect(part, found, code, **claims)])
    assert (result.decisions, result.flipped, result.unknown.total()) == (1, 0, 0)


def test_a_record_that_does_not_name_its_tools_is_not_guessed_about() -> None:
    record = effect(Part(Scope.TOOL_CALL, "/b", "tool", "pay", tool="pay"), Verdict(0))
    del record["coverage"]["tools"]
    assert replay(EFFECTS, [record]).unknown == {"it does not name all of its tools": 1}
