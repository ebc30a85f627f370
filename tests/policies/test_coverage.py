"""What was tried is what the exchange asked, and watching changes no decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.rehearsal import Rehearsal
from guards.verdict import Finding, Part, Scope, Verdict
from policies.coverage import coverage, watched
from policies.decide import decide
from policies.load import load_policy, parse_policy
from policies.model import Facts, Policy

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
TOP = """\
gatehouse: policy/v1
name: p
version: "1"
detectors:
  inject: {use: starter_injection, threshold: 0.5}
  harm: {use: starter_hazard, threshold: 0.5}
rules:
"""
BOTH = """\
- {id: both, on: [user], when: {any: [{inject: {score: {gte: 0.5}}}, {app: [a]}]}, unless: {harm: {unsafe: true}},
   do: {block: {code: x}}}
- {id: trial, on: [user], mode: shadow, when: {inject: {score: {gte: 0.9}}}, do: {block: {code: x}}}
- {id: pass, on: [user], do: allow}
"""


def policy_of(rules: str) -> Policy:
    return parse_policy((TOP + rules).encode(), "p.yaml")


def asked(policy: Policy, *, inject: int | None, harm: int = 0, app: str = "b") -> None:
    part = Part(Scope.USER, "/messages/0/content", "user", "hi")
    found = [Finding("harm", part, Verdict(harm))]
    found += [] if inject is None else [Finding("inject", part, Verdict(inject))]
    decide(policy, found, Facts((part,), "t", app, "m"))


def test_each_condition_is_asked_however_soon_the_rule_is_settled() -> None:
    policy, conditions = watched(policy_of(BOTH))
    asked(policy, inject=900_000)
    was = {(one.rule, one.spoken): sorted(one.was) for one in conditions}
    assert was == {
        ("both", "app is a"): [False],
        ("both", "inject score >= 0.5"): [True],
        ("both", "harm score >= 0.5"): [False],
        ("trial", "inject score >= 0.9"): [True],
    }
    asked(policy, inject=100, app="a", harm=900_000)
    assert all(one.missing == () for one in conditions if one.rule == "both")


def test_an_exception_counts_only_where_the_rule_would_have_matched() -> None:
    policy, conditions = watched(policy_of(BOTH))
    asked(policy, inject=100, harm=900_000)
    assert [one.was for one in conditions if one.key == "unless"] == [set()]


def test_a_missing_verdict_is_neither() -> None:
    policy, conditions = watched(policy_of(BOTH))
    asked(policy, inject=None)
    assert [one.was for one in conditions if one.spoken.startswith("inject")] == [set(), set()]


def test_percent_is_rounded_down_and_rules_that_are_off_do_not_count() -> None:
    policy = policy_of(
        "- {id: pass, on: [user], do: allow}\n"
        "- {id: off, on: [user], mode: off, until: 2099-01-01, when: {inject: {unsafe: true}}, do: flag}\n"
        "- {id: harm, on: [user], when: {harm: {unsafe: true}}, do: {block: {code: x}}}\n"
    )
    watching, conditions = watched(policy)
    asked(watching, inject=0)
    found = coverage(policy, conditions, {"pass"})
    assert (found.outcomes, found.tried, found.percent, found.untried) == (4, 2, 50, ("harm",))
    assert coverage(policy, conditions, {"pass", "harm"}).percent == 75


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.yaml")), ids=lambda file: file.stem)
async def test_watching_changes_no_decision_and_what_ships_is_covered_whole(file: Path) -> None:
    policy = load_policy(file)
    watching, conditions = watched(policy)
    deciding: set[str] = set()
    for case in policy.cases:
        plain, seen = await Rehearsal(policy).run(case), await Rehearsal(watching).run(case)
        assert (seen.differences, seen.deciding, seen.shadow) == (plain.differences, plain.deciding, plain.shadow)
        deciding |= seen.deciding | seen.shadow
    found = coverage(policy, conditions, deciding)
    assert found.untried == ()
    assert [(one.rule, one.spoken, one.missing) for one in found.conditions if one.missing] == []
