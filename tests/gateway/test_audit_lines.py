"""A record as people read it in a terminal."""

from __future__ import annotations

from pathlib import Path

from gateway.audit_lines import one_line
from gateway.entries import judged
from guards.errors import ErrorKind
from guards.verdict import Finding, GuardIdentity, Part, Scope, Verdict
from policies.load import load_policy
from policies.model import Action, Decision

LIBRARY = Path(__file__).parents[2] / "policies" / "library" / "default.yaml"
PARTS = tuple(Part(Scope.USER, f"/messages/{n}/content", "user", "text") for n in range(2))


def test_line_sums_up_a_decision_as_the_gateway_records_it() -> None:
    """Built by the code that writes records, so that the two cannot drift apart."""
    policy = load_policy(LIBRARY)
    harm, inject = sorted(policy.detectors)[:2]
    findings = [
        Finding(harm, PARTS[0], Verdict(120_000)),
        Finding(harm, PARTS[1], Verdict(970_000)),
        Finding(inject, PARTS[0], None, ErrorKind.TIMEOUT),
    ]
    decision = Decision(Action.BLOCK, rules=("no-weapons",), code="hazard", status=400)
    identities = {name: GuardIdentity(name, f"{name}/1") for name in (harm, inject)}
    _, fields = judged(findings, PARTS, decision, policy, identities)
    record = {"ts": "1800000000000000000", "seq": 4, "type": "request.admit", "req": "r1", **fields}

    assert one_line(record) == (
        "2027-01-15T08:00:00.000Z  4  request.admit  r1  block  rules=no-weapons  code=hazard  "
        f"{harm}=0.970  {inject}=timeout"
    )


def test_control_sequences_do_not_reach_the_terminal() -> None:
    assert one_line({"type": "x\x1b[2J", "req": "a\nb\u202e"}) == "(no time)  -  x?[2J  a?b?"


def test_a_record_of_another_shape_is_shown_as_far_as_it_goes() -> None:
    record = {"type": "t", "guards": [1, {"name": "a", "rows": 5}, {"name": "b", "rows": [2, {"score_ppm": "high"}]}]}
    assert one_line(record) == "(no time)  -  t  -"
