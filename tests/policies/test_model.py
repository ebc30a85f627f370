"""A policy indexes its rules by scope, once."""

from __future__ import annotations

import dataclasses

import pytest

from guards.verdict import Scope, Verdict
from policies.matchers import ALWAYS, Fact, Score
from policies.model import Action, Do, Facts, Rule
from policies.settings import Amount, StreamSpec
from tests.policies.build import policy_of

FACTS = Facts((), "t", "a", "m")
USER = frozenset({Scope.USER})


def test_lattice_is_ordered_from_allow_to_block() -> None:
    assert sorted(Action) == list(Action)
    assert max(Action.FLAG, Action.REDACT, Action.ALLOW) is Action.REDACT
    assert [action.name.lower() for action in Action] == (
        ["allow", "annotate", "flag", "redact", "replace", "route", "review", "block"]
    )


@pytest.mark.parametrize(
    ("when", "unless", "matched"),
    [(9, 0, True), (9, 9, False), (0, 9, False), (0, None, False), (9, None, None), (None, 9, False), (None, 0, None)],
)
def test_rule_matches_when_its_condition_holds_and_its_exception_does_not(when, unless, matched) -> None:
    rule = Rule("r", USER, Score("w", 5, 9), Score("u", 5, 9), Do(Action.FLAG))
    verdicts = {name: Verdict(score) for name, score in (("w", when), ("u", unless)) if score is not None}
    assert rule.matches(verdicts, FACTS) is matched


def test_rule_looks_always_unless_a_fact_can_turn_it_away() -> None:
    score, fact = Score("d", 1, 2), Fact("app", frozenset({"x"}))
    flag = Do(Action.FLAG)
    assert Rule("r", USER, score, None, flag).looks_always()
    assert Rule("r", USER, ALWAYS, None, Do(Action.ALLOW)).looks_always()
    assert not Rule("r", USER, score, None, Do(Action.ALLOW)).looks_always()
    assert not Rule("r", USER, fact, None, flag).looks_always()
    assert not Rule("r", USER, score, fact, flag).looks_always()


def test_plans_hold_the_rules_of_their_scope_sorted() -> None:
    policy = policy_of(
        """
        - {id: b, on: [user, output], do: allow}
        - {id: a, on: [user], when: {inject: {unsafe: true}}, do: flag}
        - {id: s, mode: shadow, on: [output], when: {harm: {unsafe: true}}, do: flag}
        """
    )
    assert [rule.id for rule in policy.plan(Scope.USER).enforcing] == ["a", "b"]
    assert [rule.id for rule in policy.plan(Scope.OUTPUT).shadow] == ["s"]
    assert [spec.name for spec in policy.plan(Scope.OUTPUT).detectors] == ["harm"]
    assert policy.plan(Scope.IMAGE).enforcing == ()


def test_amounts_are_characters_in_the_end() -> None:
    assert (Amount(64, "tokens").chars, Amount(64, "characters").chars) == (256, 64)
    assert StreamSpec("window", max_wait_ms=1500).max_wait_s == 1.5


def test_policy_cannot_be_changed_in_force() -> None:
    policy = policy_of("- {id: pass, on: [user], do: allow}")
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        policy.detectors["inject"] = policy.detectors["harm"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("mode", "redacts"),
    [("mode: enforce", True), ("mode: shadow, until: 2020-01-01", True), ("mode: shadow", False)],
)
def test_a_redaction_that_acts_from_a_day_on_is_one_that_streams_make_room_for(mode: str, redacts: bool) -> None:
    rule = "- {id: r, on: [output], MODE, when: {creds: {count: {gte: 1}}}, do: {redact: {as: x}}}"
    assert policy_of(rule.replace("MODE", mode)).redacts_answers is redacts
