"""The reasons belong to the decision: who is said to decide decides, and what is unknown is said to be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.errors import ErrorKind
from guards.verdict import PPM, Finding, Scope
from policies.decide import decide
from policies.explain import Outcome, RuleSeen, explain
from policies.model import Mode
from tests.policies.build import facts, fails, part, policy_of, says

RULES = """
- {id: attack, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: x}}}
- id: exact
  on: [user, output]
  when: {any: [{harm: {category: [S9]}}, {tenant: clinic}]}
  unless: {harm: {only: [S6]}}
  do: flag
- {id: keys, on: [user], when: {creds: {count: {gte: 1}}, not: {app: lab}}, do: {redact: {as: x}}}
- {id: trial, mode: shadow, on: [user], when: {harm: {unsafe: true}}, do: {block: {code: y}}}
- {id: pass, on: [user, output], do: allow}
"""
POLICY = policy_of(RULES)
ONE = part()


def seen(rule_id: str, *findings: Finding, tenant: str = "t") -> RuleSeen:
    (explained,) = explain(POLICY, findings, facts(ONE, tenant=tenant)).parts
    return next(one for one in explained.rules if one.rule.id == rule_id)


def test_each_condition_has_its_value_and_its_bound() -> None:
    rule = seen("exact", says("harm", ONE, 400_000, {"S6": 100_000, "S9": 250_000}))
    assert rule.outcome is Outcome.MATCHED
    category, tenant = rule.when.inner
    assert (rule.when.kind, category.text, category.value, category.holds) == (
        "any",
        "harm category S9 >= 0.2",
        "S9 0.25",
        True,
    )
    assert (tenant.text, tenant.value, tenant.holds) == ("tenant is clinic", "another", False)
    assert rule.unless is not None
    assert (rule.unless.value, rule.unless.holds) == ("S9 0.25", False)


@pytest.mark.parametrize(
    ("findings", "outcome", "value"),
    [
        ([says("inject", ONE, 499_999)], Outcome.NOT_MATCHED, "0.499999"),
        ([says("inject", ONE, 500_000)], Outcome.MATCHED, "0.5"),
        ([fails("inject", ONE)], Outcome.HANGS, "timeout"),
        ([], Outcome.HANGS, "not_run"),
        ([says("inject", ONE, 1), says("inject", ONE, 2)], Outcome.HANGS, "conflict"),
    ],
)
def test_matched_not_matched_and_hanging(findings: list[Finding], outcome: Outcome, value: str) -> None:
    rule = seen("attack", *findings)
    assert (rule.outcome, rule.when.value) == (outcome, value)


def test_a_fact_is_named_only_if_the_policy_names_it() -> None:
    assert seen("exact", tenant="clinic").when.inner[1].value == "clinic"
    assert seen("exact", tenant="someone").when.inner[1].value == "another"


def test_rules_of_other_scopes_were_not_asked_and_uncovered_parts_are_said() -> None:
    output, image = part(scope=Scope.OUTPUT, path="/choices/0/message/content"), part(scope=Scope.IMAGE, path="/i")
    explained = explain(POLICY, [says("harm", output)], facts(output, image))
    assert [one.is_covered for one in explained.parts] == [True, False]
    assert explained.parts[0].not_asked == ("attack", "keys", "trial", "watch")
    assert explained.parts[1].rules == ()
    assert explained.decision.code == "uncovered_part"


def test_a_decision_that_hangs_on_what_was_not_asked_is_no_decision() -> None:
    found = [says(name, ONE) for name in ("harm", "creds")]
    assert explain(POLICY, found, facts(ONE)).unasked == ("inject",)
    assert explain(POLICY, [*found, fails("inject", ONE)], facts(ONE)).unasked == ()
    assert explain(POLICY, [says("inject", ONE, PPM)], facts(ONE)).unasked == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from((None, 0, 400_000, 500_000, PPM)),
            st.sampled_from((None, 0, 100_000, 500_000, PPM)),
            st.sampled_from((None, 0, 2)),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(("t", "clinic")),
)
@settings(max_examples=200, deadline=None)
def test_who_is_said_to_decide_decides(said: list[tuple[int | None, int | None, int | None]], tenant: str) -> None:
    parts = [part(path=f"/messages/{index}/content") for index in range(len(said))]
    findings = []
    for one, (inject, harm, keys) in zip(parts, said, strict=True):
        findings.append(fails("inject", one, ErrorKind.OVERLOAD) if inject is None else says("inject", one, inject))
        findings.append(fails("harm", one) if harm is None else says("harm", one, harm, {"S9": harm} if harm else {}))
        spans = tuple((at, at + 1, "jwt") for at in range(keys or 0))
        findings.append(fails("creds", one) if keys is None else says("creds", one, spans=spans))
    asked = facts(*parts, tenant=tenant)
    explained = explain(POLICY, findings, asked)
    assert explained.decision == decide(POLICY, findings, asked)
    rules = [rule for one in explained.parts for rule in one.rules]
    assert {rule.rule.id for rule in rules if rule.decides} == set(explained.decision.rules)
    assert all(rule.when.holds is not False for rule in rules if rule.outcome is not Outcome.NOT_MATCHED)
    assert not any(rule.decides for rule in rules if rule.rule.mode is Mode.SHADOW)
