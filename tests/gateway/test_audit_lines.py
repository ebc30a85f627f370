"""A record as people read it in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit_lines import one_line
from gateway.judgement import judged
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


def test_records_of_types_that_nobody_knows_show_what_they_hold() -> None:
    """A log can have been continued by a later version; its records are shown, not skipped."""
    actor = {"type": "operator", "sub": "priya", "roles": ["privacy_officer"]}
    record = {"type": "content.erase", "seq": 3, "actor": actor, "erase": {"refs": ["a", "b"], "case": "gdpr-17"}}
    assert one_line(record) == "(no time)  3  content.erase  -  by=priya  erase.refs=[2]  erase.case=gdpr-17"
    record = {"type": "audit.fail", "err": {"code": "head_late", "where": "audit"}, "note": "x" * 60}
    assert one_line(record) == f"(no time)  -  audit.fail  -  err.code=head_late  err.where=audit  note={'x' * 48}…"
    assert one_line({"type": "t", "ts": "9" * 30}).startswith("(no time)")
    many = {"type": "of.a.later.version", **{f"k{n}": n for n in range(9)}}
    assert one_line(many).endswith("k0=0  k1=1  k2=2  k3=3  k4=4  k5=5")


@given(
    st.dictionaries(
        st.sampled_from(("type", "ts", "seq", "actor", "decision", "guards", "err", "key", "rows")),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_any_record_is_one_printable_line(record: dict[str, Any]) -> None:
    assert one_line(record).isprintable()
