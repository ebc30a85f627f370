"""What was judged is kept as a replay needs it, without what was said, in records that always fit."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.record import MAX_BYTES, canonical
from gateway.entries import Exchange
from gateway.exchange import Caller
from gateway.judgement import choice_rows, judged, overflow_records
from guards.errors import ErrorKind
from guards.verdict import PPM, Finding, GuardIdentity, Part, Scope, Span, Verdict
from policies.decide import decide
from policies.load import parse_policy
from policies.model import Action, Decision, Facts, Flag, Redaction
from tests.gateway.live import in_force, policy

CANARY = "canary-of-a-record"
EXCHANGE = Exchange("id-1", Caller("k1", "tenant-a", "app-a"), "/v1/chat/completions", "engine", policy())
IN_FORCE = in_force()


def part(number: int = 0, text: str = CANARY) -> Part:
    return Part(Scope.USER, f"/messages/{number}/content", "user", text)


def record_of(findings: list[Finding], parts: list[Part], decision: Decision | None = None) -> tuple[Any, Any]:
    decision = decision or decide(IN_FORCE.policy, findings, Facts(tuple(parts), "t", "a", "m"))
    return judged(findings, parts, decision, IN_FORCE.policy, IN_FORCE.identities)


def both(a_part: Part, harm: Verdict | ErrorKind) -> list[Finding]:
    found = Finding("harm", a_part, harm) if isinstance(harm, Verdict) else Finding("harm", a_part, None, harm)
    return [found, Finding("attack", a_part, Verdict(0))]


def test_a_verdict_is_kept_with_what_a_replay_needs() -> None:
    verdict = Verdict(700_000, (("S1", 700_000),), (Span(0, 6, "key"),), windows=3)
    _, fields = record_of(both(part(), verdict), [part()])
    harm = fields["guards"][1]
    assert (harm["name"], harm["use"], harm["threshold_ppm"]) == ("harm", "starter_hazard", 500_000)
    assert harm["weights_digest"].startswith("sha256:")
    assert harm["rows"] == [
        {"part": "/messages/0/content", "scope": "user", "outcome": "ok", "score_ppm": 700_000, "windows": 3,
         "cats": [["S1", 700_000]], "spans": [[0, 6, "key"]], "spans_n": 1}
    ]  # fmt: skip
    assert fields["decision"]["outcome"] == "block"
    assert CANARY not in json.dumps(fields)


def test_a_tool_is_named_unless_something_was_found_in_its_name() -> None:
    base = "/choices/0/message/tool_calls"
    parts = [
        Part(Scope.TOOL_CALL, f"{base}/{number}/function/{what}", "tool", text, tool=name)
        for number, name in enumerate(("lookup", CANARY))
        for what, text in (("name", name), ("arguments", "{}"))
    ]
    verdicts = [Verdict(PPM, spans=(Span(0, 6, "key"),)) if p.text == CANARY else Verdict(0) for p in parts]
    _, fields = record_of([Finding("harm", p, v) for p, v in zip(parts, verdicts, strict=True)], parts)
    assert [row["tool"] for row in fields["coverage"]["tools"]] == ["lookup", "lookup"]
    assert fields["coverage"]["tools_n"] == 4, "so that a replay knows that it does not know them all"
    assert CANARY not in json.dumps(fields)


def test_clean_parts_are_counted_and_not_listed() -> None:
    parts = [part(number) for number in range(3)]
    _, fields = record_of([f for p in parts for f in both(p, Verdict(0))], parts)
    assert [(row["parts"], row["rows"]) for row in fields["guards"]] == [(3, []), (3, [])]
    assert fields["decision"] == {"outcome": "allow", "action": "allow", "rules": ["pass"], "code": None, "flags": [],
                                  "shadow": [], "errors": []}  # fmt: skip


def test_coverage_says_what_nobody_judged() -> None:
    seen, lost = part(0, "öö"), part(1, "123")
    findings = [*both(seen, Verdict(0)), Finding("harm", lost, None, ErrorKind.TIMEOUT),
                Finding("attack", lost, None, ErrorKind.TIMEOUT)]  # fmt: skip
    _, fields = record_of(findings, [seen, lost])
    assert fields["coverage"] == {"parts": 2, "parts_scanned": 1, "scopes": {"user": 2}, "bytes": 7, "bytes_scanned": 4,
                                  "uncovered": [], "uncovered_n": 0}  # fmt: skip
    assert fields["decision"]["errors"]
    assert {"part": "/messages/1/content", "scope": "user", "outcome": "error", "error": "timeout"} in fields["guards"][
        1
    ]["rows"]


def test_coverage_says_what_a_rule_let_pass_unjudged() -> None:
    """A picture that an `allow` covers: no detector can see it, and no verifier shall take that for a gap."""
    text, picture = part(0, "öö"), Part(Scope.IMAGE, "/messages/1/content/0/image_url/url", "user", "")
    decision = Decision(Action.ALLOW, ("pass",), exempt=(picture.path,))
    _, fields = record_of(both(text, Verdict(0)), [text, picture], decision)
    counts = {key: fields["coverage"][key] for key in ("parts", "parts_scanned", "parts_exempt", "bytes_exempt")}
    assert counts == {"parts": 2, "parts_scanned": 1, "parts_exempt": 1, "bytes_exempt": 0}


def test_redactions_are_counted_by_place_and_rule() -> None:
    cuts = (Redaction("/a", 0, 1, "x", "r1"), Redaction("/a", 2, 3, "x", "r1"), Redaction("/b", 0, 1, "x", "r2"))
    _, fields = record_of([], [], Decision(Action.REDACT, ("r1",), redactions=cuts, flags=(Flag("r1", "q", "high"),)))
    assert fields["transform"] == [
        {"part": "/a", "rule": "r1", "kind": "redact", "n": 2}, {"part": "/b", "rule": "r2", "kind": "redact", "n": 1},
    ]  # fmt: skip
    assert fields["decision"]["outcome"] == "modified"
    assert fields["decision"]["flags"] == [{"rule": "r1", "queue": "q", "severity": "high"}]


@given(st.lists(st.sampled_from(["clean", "hit", "error"]), max_size=700))
def test_no_finding_is_lost_and_no_record_outgrows_the_log(kinds: list[str]) -> None:
    """Rows that do not fit go into earlier records; together they are all there."""
    outcomes: dict[str, Verdict | ErrorKind] = {
        "clean": Verdict(0), "hit": Verdict(10, (("S1", 10), ("S9", 5))), "error": ErrorKind.TIMEOUT,
    }  # fmt: skip
    parts = [part(number, "text") for number in range(len(kinds))]
    findings = [f for p, kind in zip(parts, kinds, strict=True) for f in both(p, outcomes[kind])]
    overflow, fields = record_of(findings, parts)
    earlier = list(overflow_records(EXCHANGE, overflow))
    rows = [row for guard in fields["guards"] for row in guard["rows"]] + [row for e in earlier for row in e["rows"]]
    assert sorted(row["part"] for row in rows) == sorted(
        p.path for p, kind in zip(parts, kinds, strict=True) if kind != "clean"
    )
    for record in [EXCHANGE.record("request.admit", "admit") | fields, *earlier]:
        canonical(record)


def test_the_worst_finding_rows_still_fit_a_record() -> None:
    """Long paths, all categories, twenty spans: the caps must hold for the largest row, not for the usual one."""
    spans = tuple(Span(10_000 + 50 * i, 10_040 + 50 * i, "password_assignment") for i in range(100))
    worst = Verdict(PPM, tuple((f"S{i:02}", PPM) for i in range(1, 15)), spans, windows=99)
    parts = [Part(Scope.TOOL_CALL, f"/messages/{i}/tool_calls/100/function/arguments", "tool", "t") for i in range(256)]
    overflow, fields = record_of([Finding("harm", p, worst) for p in parts], parts)
    for record in [EXCHANGE.record("request.admit", "admit") | fields, *overflow_records(EXCHANGE, overflow)]:
        canonical(record)


def test_any_number_of_redactions_fits_into_a_record() -> None:
    parts = [Part(Scope.TOOL_CALL, f"/messages/{n}/tool_calls/100/function/arguments", "tool", "x") for n in range(256)]
    found = [Finding("harm", one, Verdict(PPM, spans=(Span(0, 1, "key"),))) for one in parts]
    cuts = tuple(Redaction(one.path, 0, 1, "[key]", "r" * 64) for one in parts)
    overflow, fields = record_of(found, parts, Decision(Action.REDACT, rules=("r" * 64,), redactions=cuts))
    assert overflow
    assert len(canonical(EXCHANGE.record("request.admit", "admit") | fields)) < 30_000
    assert fields["transform_n"] == 256
    assert fields["transform"][0]["n"] == 1


def test_records_fit_whatever_the_policy_holds() -> None:
    """With forty detectors the records were longer than the log takes, and the exchange ended in a 500."""
    lines = ["gatehouse: policy/v1", "name: many", "version: 1.0.0", "owner: tests@gatehouse.example", "detectors:"]
    lines += [f"  detector_number_{i:02}: {{use: regex, pattern: w{i}}}" for i in range(64)]
    action = "{redact: {as: x}, flag: {queue: security, severity: high}}"
    lines += ["rules:"]
    lines += [
        f"  - {{id: rule-of-a-name-{i}, on: [user], when: {{detector_number_{i % 64:02}: {{count: {{gte: 1}}}}}}, "
        f"do: {action}}}"
        for i in range(300)
    ]
    many = parse_policy("\n".join(lines).encode(), "many.yaml")
    parts = [part(number, "w1 w2") for number in range(200)]
    hit = Verdict(PPM, spans=(Span(0, 2, "match"),))
    findings = [Finding(name, one, hit) for name in many.detectors for one in parts]
    decision = decide(many, findings, Facts(tuple(parts), "t", "a", "m"))
    identities = dict.fromkeys(many.detectors, GuardIdentity("regex", "regex/1"))
    overflow, fields = judged(findings, parts, decision, many, identities)
    record = EXCHANGE.record("response.complete", "complete") | fields | {"choices": choice_rows({0: decision})}
    for one in [record, *overflow_records(EXCHANGE, overflow)]:
        assert len(canonical(one)) < MAX_BYTES - 2_000, "what the log adds has room, too"
    told = sum(len(guard["rows"]) + guard["rows_before"] for guard in fields["guards"])
    assert told == len(findings) == sum(len(guard["rows"]) for guard in fields["guards"]) + sum(map(len, overflow))
    assert fields["decision"]["rules_n"] == fields["decision"]["flags_n"] == 300
    assert 0 < len(fields["decision"]["rules"]) < 300
