"""Places of what a policy says, for whatever wants to point at it."""

from __future__ import annotations

from guards.verdict import Scope
from policies.load import parse_policy
from policies.sheet import Sheet
from policies.vocabulary import KNOWN_GUARDS
from tests.policies.build import document

TEXT = document(
    "- {id: own, on: [user], when: {inject: {unsafe: true}}, do: flag}\n- {id: pass, on: [user], do: allow}",
    detectors="inject: {use: starter_injection, threshold: 0.5}  # a comment",
    watch=False,
)


def sheet() -> Sheet:
    return Sheet(parse_policy(TEXT.encode(), "p.yaml"), TEXT.encode(), KNOWN_GUARDS)


def test_rules_and_detectors_have_places_and_lines_have_comments() -> None:
    own, passing = sheet().policy.rules
    assert str(sheet().rule(own, "when")) == "p.yaml:7:27"
    assert sheet().rule(passing).line == 8
    assert sheet().rule(passing, "when") == sheet().rule(passing, "unless")
    place = sheet().detector("inject", "threshold")
    assert (place.line, sheet().comment(place).strip()) == (5, "a comment")
    assert (sheet().says("inject", "threshold"), sheet().says("inject", "timeout")) == (True, False)


def test_acting_rules_do_more_than_allow() -> None:
    assert [rule.id for rule in sheet().acting()] == ["own"]
    assert list(sheet().acting(Scope.OUTPUT)) == []
