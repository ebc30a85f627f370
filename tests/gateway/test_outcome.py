"""What came of an exchange is read from its records, and differences from what was expected have no text in them."""

from __future__ import annotations

from gateway.entries import Record
from gateway.outcome import Outcome, differences
from policies.cases import Expect
from policies.model import Action


def decided(action: str, *rules: str) -> Record:
    return {"decision": {"action": action, "rules": list(rules), "shadow": [{"rule": "trial", "action": "block"}]}}


def test_the_strictest_decision_of_all_records_counts_with_the_rules_of_equals() -> None:
    outcome = Outcome()
    outcome.sum_up([decided("allow", "pass"), decided("redact", "a"), decided("redact", "b"), {"type": "other"}])
    assert (outcome.action, outcome.rules, outcome.shadow) == (Action.REDACT, {"a", "b"}, {"trial"})


def test_what_a_case_does_not_say_is_no_difference() -> None:
    assert differences(Expect("allow"), Outcome(rules={"pass"}, flags={"q"}, code="c", status=500)) == ()


def test_texts_are_looked_for_in_every_value_of_records_and_bodies() -> None:
    outcome = Outcome(audit_holds=[{"a": [{"b": "x sekrit y"}, 1, None]}], upstream_saw=[{"messages": ["hello"]}])
    expect = Expect("allow", audit_never_holds=("other", "sekrit"), upstream_sees=("hello", "b"))
    assert differences(expect, outcome) == (
        "the audit holds item 2 of `audit_never_holds`",
        "the upstream did not see item 2 of `upstream_sees`",
    )
