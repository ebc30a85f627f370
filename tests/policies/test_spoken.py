"""Conditions read as a reviewer would write them."""

from __future__ import annotations

import pytest

from policies.spoken import condition, doing, duration, share
from tests.policies.build import policy_of


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("{inject: {unsafe: true}}", "inject score >= 0.5"),
        ("{inject: {score: {gte: 0.2, lt: 0.6}}}", "inject score 0.2 to 0.599999"),
        ("{inject: {score: {lt: 0.6}}}", "inject score <= 0.599999"),
        ("{harm: {category: [S9, S1]}}", "harm category S1 >= 0.5 or S9 >= 0.2"),
        ("{harm: {only: [S6]}}", "harm only S6"),
        ("{creds: {entity: jwt, count: {gte: 2}}}", "creds count of jwt >= 2"),
        ("{tenant: [b, a], not: {app: x}}", "tenant is a or b and not (app is x)"),
        ("{tenant: a, any: [{app: x}, {model: m}]}", "(app is x or model is m) and tenant is a"),
    ],
)
def test_conditions_in_words(when: str, told: str) -> None:
    rule = next(one for one in policy_of(f"- {{id: own, on: [user], when: {when}, do: flag}}").rules if one.id == "own")
    assert condition(rule) == told


def test_a_rule_without_conditions_and_one_with_an_exception() -> None:
    rules = policy_of(
        "- {id: own, on: [user], unless: {tenant: a}, do: {block: {code: x}, flag: {queue: q, severity: low}}}"
    ).rules
    own = next(rule for rule in rules if rule.id == "own")
    assert condition(own) == "always, unless tenant is a"
    assert doing(own.do) == "block x, flag q low"


def test_numbers_as_a_file_writes_them() -> None:
    assert [share(ppm) for ppm in (0, 1, 545_000, 1_000_000)] == ["0", "0.000001", "0.545", "1"]
    assert [duration(ms) for ms in (1500, 2000)] == ["1500ms", "2s"]
