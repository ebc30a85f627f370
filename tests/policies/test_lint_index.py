"""What is found by the index is what comparing each with each finds, in time that grows as the rules do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compare import covers
from policies.lint import lint
from policies.lint_index import MOST, Wider
from policies.load import parse_policy
from policies.model import Rule
from policies.sheet import Sheet
from policies.vocabulary import KNOWN_GUARDS
from tests.policies.build import document

DETECTORS = """
inject: {use: starter_injection, threshold: 0.5}
harm: {use: starter_hazard, threshold: 0.5}
hidden: {use: unicode}
"""
LEAVES = [
    "inject: {score: {gte: 0.2}}",
    "inject: {score: {gte: 0.7}}",
    "inject: {score: {lt: 0.4}}",
    "harm: {category: [S1, S9]}",
    "harm: {category: [S9]}",
    "harm: {only: [S9]}",
    "hidden: {count: {gte: 1}}",
    "hidden: {count: {gte: 3}}",
    "tenant: [a, b]",
    "tenant: a",
    "tenant: {not_in: [c]}",
    "app: x",
]
CONDITIONS = st.recursive(
    st.sampled_from(LEAVES).map(lambda leaf: f"{{{leaf}}}"),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda found: f"{{any: [{', '.join(found)}]}}"),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: f"{{all: [{', '.join(found)}]}}"),
        inner.map(lambda found: f"{{not: {found}}}"),
    ),
    max_leaves=4,
)


def sheet_of(conditions: list[str], scopes: list[str]) -> Sheet:
    rules = "".join(
        f"- {{id: r{n}, on: [{scopes[n % len(scopes)]}], when: {when}, do: {{block: {{code: x}}}}}}\n"
        for n, when in enumerate(conditions)
    )
    rules += "- {id: watch, mode: shadow, on: [system], when: {any: [{inject: {unsafe: true}}, {harm: {unsafe: true}}, "
    rules += "{hidden: {count: {gte: 1}}}]}, do: flag}\n"
    data = document(rules, detectors=DETECTORS, watch=False).encode()
    return Sheet(parse_policy(data, "p"), data, KNOWN_GUARDS)


def wider(sheet: Sheet, rule: Rule) -> Iterator[Rule]:
    """Each with each."""
    for one in sheet.acting():
        if one is not rule and rule.scopes <= one.scopes and covers(sheet.regions[one.id], sheet.regions[rule.id]):
            yield one


@given(st.lists(CONDITIONS, min_size=2, max_size=6), st.lists(st.sampled_from(["user", "user, output"]), min_size=1))
def test_a_rule_that_covers_another_is_found(conditions: list[str], scopes: list[str]) -> None:
    sheet = sheet_of(conditions, scopes)
    for rule in sheet.acting():
        meant = {one.id for one in wider(sheet, rule)}
        found = sheet.by_action.first(rule, [rule.do.action], lambda one, rule=rule: one is not rule)
        assert (found is not None) == bool(meant)
        assert found is None or found.id in meant


def test_where_many_ask_the_same_the_rest_is_told_and_not_compared() -> None:
    conditions = [f"{{inject: {{score: {{gte: 0.5{n:03}, lt: 0.6{n:03}}}}}}}" for n in range(MOST + 2)]
    sheet = sheet_of(conditions, ["user"])
    index = Wider(sheet.regions, lambda rule: rule.do.action).file(sheet.acting())
    rule = sheet.policy.rules[0]
    assert index.is_crowded(rule, [rule.do.action])
    told = [one.problem for one in lint(sheet.data, "p") if one.code == "too-many-alike"]
    assert told == [
        f"{MOST + 2} rules ask much the same as more than {MOST} others do: not each was compared with each"
    ]


@pytest.mark.parametrize("form", ["{{inject: {{score: {{gte: 0.5{n:03}}}}}, tenant: t{n}}}", "{{tenant: t{n}}}"])
def test_a_thousand_rules_are_looked_through_in_well_under_the_time_of_a_million_pairs(form: str) -> None:
    sheet = sheet_of([form.format(n=n) for n in range(1000)], ["user"])
    assert len(sheet.regions) >= 1000
    began = time.process_time()
    for rule in sheet.acting():
        assert sheet.by_action.first(rule, [rule.do.action], lambda one, rule=rule: one is not rule) is None
    assert time.process_time() - began < 1
