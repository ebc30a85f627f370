"""A mistake that a test notices is killed; one that none notices is named; what there was no time for is counted."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from gateway.mutation import mutation
from gateway.rehearsal import results_of
from policies.load import load_policy, parse_policy
from policies.model import Policy
from policies.start import LIBRARY

TEXT = """\
gatehouse: policy/v1
name: small
version: "1"
detectors:
  inject: {use: starter_injection, threshold: 0.5}
rules:
- {id: attack, on: [user], when: {inject: {score: {gte: 0.5}}}, do: {block: {code: x}}}
- {id: pass, on: [user, output], do: allow}
tests:
- name: blocked
  send: {messages: [{user: a}]}
  fake: {inject: {score: 0.52}}
  expect: {action: block, rules: [attack]}
- name: passed
  send: {messages: [{user: a}]}
  fake: {inject: {score: LOW}}
  expect: {action: allow}
"""


def policy_with(low: str) -> Policy:
    return parse_policy(TEXT.replace("LOW", low).encode(), "p")


def test_a_bound_is_held_only_by_tests_close_to_it() -> None:
    far = policy_with("0.1")
    found = mutation(far, results_of(far), 60)
    assert [(one.rule, one.told) for one in found.survivors] == [("attack", "`inject score >= 0.5` moved to 0.45")]
    assert (found.killed, found.tried, found.percent, found.untried) == (5, 6, 83, 0)
    close = policy_with("0.48")
    assert mutation(close, results_of(close), 60).percent == 100


def test_what_there_is_no_time_for_is_counted_and_in_no_score() -> None:
    policy, ticks = policy_with("0.1"), count()
    found = mutation(policy, results_of(policy), 3, lambda: float(next(ticks)))
    assert (found.tried, found.untried) == (2, 4)


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.yaml")), ids=lambda file: file.stem)
def test_what_ships_holds_nearly_every_line_of_itself(file: Path) -> None:
    policy = load_policy(file)
    assert mutation(policy, results_of(policy), 60).percent >= 85
