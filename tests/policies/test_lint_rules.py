"""Each check of rules finds its example and leaves the near miss alone."""

from __future__ import annotations

import pytest

from policies.lint import lint
from tests.policies.build import document

BLOCK = "do: {block: {code: x, message: no}}"
SCOPES = "[system, user, history, tool_schema, tool_result, tool_call, output, reasoning]"
GOOD = f"- {{id: own, on: {SCOPES}, when: {{inject: {{unsafe: true}}}}, {BLOCK}}}\n"
DETECTORS = "inject: {use: starter_injection, threshold: 0.5}\nharm: {use: starter_hazard, threshold: 0.5}"
TESTS = """
- name: one
  send: {messages: [{user: hello}]}
  fake: {inject: {score: 1}}
  expect: {action: block, rules: [own]}
"""


def codes(rules: str) -> set[str]:
    """Without what these small policies have: no tests, and a detector that only a rule in shadow asks."""
    asked = "- {id: ask, mode: shadow, on: [user], when: {harm: {score: {lt: 0.1}}}, do: flag}\n"
    text = document(rules + asked, detectors=DETECTORS, watch=False)
    return {one.code for one in lint(text.encode(), "p.yaml")} - {"shadow-only", "untested"}


def also(rule: str) -> str:
    return GOOD + "- {id: more, " + rule + "}\n"


def test_a_plain_policy_has_no_finding() -> None:
    assert codes(GOOD) == set()


@pytest.mark.parametrize(
    ("code", "found", "near"),
    [
        (
            "never-matches",
            also(f"on: [user], when: {{harm: {{score: {{gte: 0.6}}}}}}, unless: {{harm: {{unsafe: true}}}}, {BLOCK}"),
            also(f"on: [user], when: {{harm: {{score: {{gte: 0.4}}}}}}, unless: {{harm: {{unsafe: true}}}}, {BLOCK}"),
        ),
        (
            "repeated",
            also(f"on: [user], when: {{inject: {{score: {{gte: 0.9}}}}}}, {BLOCK}"),
            also(f"on: [user], when: {{inject: {{score: {{gte: 0.3}}}}}}, {BLOCK}"),
        ),
        (
            "shadow-tells-nothing",
            also(f"mode: shadow, on: [user], when: {{inject: {{score: {{gte: 0.9}}}}}}, {BLOCK}"),
            also(f"mode: shadow, on: [user], when: {{inject: {{score: {{gte: 0.3}}}}}}, {BLOCK}"),
        ),
        ("only-allowed", GOOD.replace(", output", "") + "- {id: pass, on: [output], do: allow}\n", GOOD),
        ("refused-scope", GOOD.replace(", tool_schema", ""), GOOD),
        (
            "reasoning-unread",
            also(f"on: [output], when: {{harm: {{unsafe: true}}}}, {BLOCK}"),
            also(f"on: [output, reasoning], when: {{harm: {{unsafe: true}}}}, {BLOCK}"),
        ),
        ("without-message", GOOD.replace(", message: no", ""), GOOD),
        (
            "flag-can-stop",
            also("on: [user], when: {harm: {unsafe: true}}, do: flag"),
            also("on: [user], when: {inject: {score: {gte: 0.2}}}, do: flag"),
        ),
        (
            "client-chooses",
            also(f"on: [user], when: {{harm: {{unsafe: true}}, not: {{model: scout}}}}, {BLOCK}"),
            also(f"on: [user], when: {{harm: {{unsafe: true}}, not: {{tenant: lab}}}}, {BLOCK}"),
        ),
        (
            "client-chooses",
            also(f"on: [user], when: {{harm: {{unsafe: true}}, purpose: {{not_in: [care]}}}}, {BLOCK}"),
            also(f"on: [user], when: {{harm: {{unsafe: true}}, desk: {{not_in: [care]}}}}, {BLOCK}"),
        ),
        (
            "requester-may-approve",
            also("on: [user], when: {harm: {unsafe: true}}, do: {review: {queue: q, hold: request}}"),
            also(
                "on: [user], when: {harm: {unsafe: true}}, "
                "do: {review: {queue: q, hold: request, distinct_from: requester}}"
            ),
        ),
    ],
)
def test_each_check_finds_its_example_and_not_the_near_miss(code: str, found: str, near: str) -> None:
    assert code in codes(found)
    assert code not in codes(near)


@pytest.mark.parametrize(("flag", "is_found"), [("", True), (", flag: {queue: q}", False)])
def test_a_milder_rule_inside_a_stricter_one_decides_only_if_it_flags(flag: str, is_found: bool) -> None:
    rules = f"""
- {{id: strict, on: {SCOPES}, when: {{hidden: {{count: {{gte: 1}}}}}}, {BLOCK}}}
- {{id: mild, on: [user], when: {{hidden: {{count: {{gte: 2}}}}}}, do: {{redact: {{as: x}}{flag}}}}}
"""
    text = document(rules, detectors="hidden: {use: unicode}", watch=False)
    found = [one for one in lint(text.encode(), "p.yaml") if one.code == "never-decides"]
    assert [("`mild`" in one.problem, "`strict`" in one.problem) for one in found] == [(True, True)] * is_found


def test_rules_without_a_test_are_named_once_there_are_tests() -> None:
    def told(text: str) -> list[str]:
        return [one.problem for one in lint(text.encode(), "p.yaml") if one.code == "untested"]

    more = also(f"on: [user], when: {{harm: {{unsafe: true}}}}, {BLOCK}")
    assert told(document(more, detectors=DETECTORS, tests=TESTS, watch=False)) == ["no test expects rule `more`"]
    assert told(document(GOOD, detectors=DETECTORS.splitlines()[0], watch=False)) == ["the policy has no tests"]


def test_pictures_that_are_admitted_have_to_be_looked_at() -> None:
    for images, expected in ((0, set()), (2, {"refused-scope"})):
        admitted = document(GOOD, defaults=f"defaults: {{limits: {{images: {images}}}}}\n")
        assert {one.code for one in lint(admitted.encode(), "p.yaml")} & {"refused-scope"} == expected


def test_where_what_is_not_covered_passes_no_scope_is_said_to_be_refused() -> None:
    risk = "accept_risk: {by: ciso, ticket: R-1, until: 2098-12-31}"
    lax = document(GOOD.replace(", tool_schema", ""), defaults=f"defaults: {{uncovered: allow, {risk}}}\n")
    found = {one.code for one in lint(lax.encode(), "p.yaml")}
    assert "refused-scope" not in found
    assert "uncovered-allowed" in found
