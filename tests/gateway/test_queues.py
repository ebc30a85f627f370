"""A queue is for those who name it; a policy that wants more of them than there are does not come into force."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.operators import Operator, Role
from gateway.queues import Queues, wanted
from policies.load import parse_policy
from policies.model import Policy

ANN = Operator("ann", frozenset({Role.REVIEWER}), frozenset({"payments"}))
BOB = Operator("bob", frozenset({Role.REVIEWER, Role.AUDITOR}), frozenset({"payments", "duty"}))
ODA = Operator("oda", frozenset({Role.OPERATOR}))
PEOPLE = Queues((ANN, BOB, ODA))


def policy(do: str = "flag", detector: str = "", defaults: str = "", rule: str = "") -> Policy:
    text = f"""
gatehouse: policy/v1
name: p
version: "1"
defaults: {{{defaults}}}
detectors: {{harm: {{use: starter_hazard, threshold: 0.5{detector}}}}}
rules: [{{id: r, on: [user], when: {{harm: {{unsafe: true}}}}, do: {do}{rule}}}]
"""
    return parse_policy(text.encode(), "p")


def test_those_who_name_a_queue_vote_on_it_and_operators_on_what_nobody_names() -> None:
    assert PEOPLE.members("payments") == {"ann", "bob"}
    assert PEOPLE.members("duty") == {"bob"}
    assert PEOPLE.members("other") == {"oda"}
    assert Queues().members("other") == frozenset()


REVIEW = "{review: {queue: %s, quorum: %d, hold: request}}"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (policy(REVIEW % ("payments", 2)), ""),
        (policy(REVIEW % ("payments", 3)), "rule `r` wants 3 people of the queue `payments`, which has 2"),
        (policy(REVIEW % ("other", 2)), "rule `r` wants 2 people of the queue `other`, which has 1"),
        (policy(rule=", on_error: {review: {queue: duty, quorum: 2}}"), "rule `r` wants 2 people of the queue `duty`"),
        (policy(detector=", on_error: {review: {queue: duty, quorum: 2}}"), "rule `harm` wants 2 people"),
        (policy(defaults="on_error: {review: {queue: duty, quorum: 2}}"), "rule `defaults` wants 2 people"),
        (policy(REVIEW % ("duty", 2), rule=", mode: shadow"), ""),
    ],
)
def test_a_quorum_that_nobody_can_reach_is_refused(asked: Policy, told: str) -> None:
    if not told:
        PEOPLE.check(asked)
        return
    with pytest.raises(ConfigError, match=told) as caught:
        PEOPLE.check(asked)
    assert caught.value.code == "quorum_unreachable"


def test_without_operators_nothing_is_said() -> None:
    asked = policy(REVIEW % ("payments", 3))
    Queues().check(asked)
    assert [(rule, review.queue) for rule, review in wanted(asked)] == [("r", "payments")]
