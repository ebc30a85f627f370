"""What is decided on the way to another engine: the place that is reached decides what is cut out."""

from __future__ import annotations

from guards.rules.known import make
from guards.verdict import Finding
from policies.decide import decide
from policies.model import Action, Decision, Facts, Policy
from policies.routing import along, is_routed
from tests.policies.build import part, policy_of

RULES = """
- {id: away, on: [user], when: {all: [{code: {count: {gte: 1}}}, {upstream: {class: local}}]},
   do: {route: {model: big, engine: cloud}, flag: {queue: sent, severity: low}}}
- {id: hide, on: [user], when: {all: [{code: {count: {gte: 1}}}, {upstream: {class: external}}]},
   do: {redact: {as: "[code]"}}}
- {id: at-home, on: [user], when: {all: [{code: {count: {gte: 1}}}, {upstream: {class: local}}]},
   do: {redact: {as: "[home]"}}}
- {id: stop, on: [user], when: {all: [{stop: {count: {gte: 1}}}, {upstream: {class: external}}]},
   do: {block: {code: stays_here}}}
- {id: pass, on: [user], do: allow}
"""
DETECTORS = "code: {use: regex, pattern: 'code'}\nstop: {use: regex, pattern: 'stop'}"


def policy() -> Policy:
    return policy_of(RULES, detectors=DETECTORS)


def at(class_: str, text: str) -> Decision:
    asked, one = policy(), part(text=text)
    guards = {name: make(spec.use, spec.options) for name, spec in asked.detectors.items()}
    findings = [Finding(name, one, guard.judge_now([one])[0]) for name, guard in guards.items()]
    return decide(asked, findings, Facts((one,), "t", "a", "m", upstream="e", upstream_class=class_))


def test_the_place_that_is_reached_says_what_is_cut_out_and_the_first_one_why_it_went() -> None:
    home, there = at("local", "my code"), at("external", "my code")
    assert (is_routed(home), home.route, home.route_engine) == (True, "big", "cloud")
    assert not is_routed(there)

    whole = along([home, there])
    assert (whole.action, whole.route, whole.route_engine, whole.rules) == (Action.ROUTE, "big", "cloud", ("away",))
    assert [cut.replacement for cut in whole.redactions] == ["[code]"]
    assert [flag.queue for flag in whole.flags] == ["sent"]


def test_a_block_at_the_place_that_is_reached_is_a_block() -> None:
    whole = along([at("local", "code stop"), at("external", "code stop")])
    assert (whole.action, whole.code, whole.status, whole.route) == (Action.BLOCK, "stays_here", 400, None)
    assert not is_routed(whole)


def test_without_a_way_the_decision_is_itself() -> None:
    once = at("local", "nothing")
    assert along([once]) is once
