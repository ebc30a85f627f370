"""What a reader of an explanation sees: a line for each rule, its values, and who decided."""

from __future__ import annotations

import json

from gateway.explain_report import as_json, as_text
from gateway.jsonstrict import dumps
from gateway.replay import CLEAN
from guards.verdict import Scope
from policies.explain import explain
from tests.policies.build import facts, fails, part, policy_of, says

POLICY = policy_of(
    """
- {id: attack, on: [user], when: {inject: {unsafe: true}, not: {tenant: lab}}, do: {block: {code: x}}}
- {id: trial, mode: shadow, on: [user], when: {harm: {unsafe: true}}, unless: {tenant: [a, b]}, do: flag}
- {id: pass, on: [user, output], do: allow}
"""
)
ONE = part("a text that nobody prints")


def test_a_block_is_told_rule_by_rule() -> None:
    explained = explain(POLICY, [says("inject", ONE, 700_000), fails("harm", ONE)], facts(ONE))
    assert as_text(explained).splitlines() == [
        "block x, status 400, by attack",
        "shadow: `trial` would do error",
        "",
        "/messages/0/content (user)",
        "  yes attack  block x when not (tenant is lab [another]) and inject score >= 0.5 [0.7]   <- decides",
        "  yes pass    allow when always",
        "  ?   trial   shadow flag default medium when harm score >= 0.5 [timeout], unless tenant is a or b [another]",
    ]
    assert "nobody prints" not in as_text(explained) + dumps(as_json(explained)).decode()


def test_what_nobody_looked_at_and_what_nobody_asked() -> None:
    image = part(scope=Scope.IMAGE, path="/messages/1/content/0")
    assert "(image): refused, no enforcing rule looks at it" in as_text(explain(POLICY, [], facts(image)))
    assert as_text(explain(POLICY, [], facts(ONE))).startswith("undecided: it hangs on inject, not asked\n")


def test_clean_parts_of_a_record_are_told_together() -> None:
    parts = [part("", Scope.OUTPUT, f"{CLEAN}output/{index}") for index in range(3)]
    explained = explain(POLICY, [], facts(*parts))
    assert "3 parts of `output` in which nothing was found\n  yes pass" in as_text(explained)
    assert [one["path"] for one in json.loads(dumps(as_json(explained)))["parts"]] == [None] * 3


def test_json_holds_every_condition() -> None:
    explained = explain(POLICY, [says("inject", ONE, 700_000), says("harm", ONE, 1, {"S1": 1})], facts(ONE))
    told = json.loads(dumps(as_json(explained)))
    assert told["decision"]["rules"] == ["attack"]
    (one,) = told["parts"]
    attack = one["rules"][0]
    assert (attack["outcome"], attack["decides"]) == ("matched", True)
    assert attack["when"]["inner"][1] == {
        "kind": "one",
        "holds": "yes",
        "condition": "inject score >= 0.5",
        "value": "0.7",
    }
    assert one["detectors"][0] == {
        "detector": "harm",
        "score": "0.000001",
        "categories": {"S1": "0.000001"},
        "count": 0,
        "view": "",
    }
    assert one["not_asked"] == ["watch"]
