"""Every matcher, scope, action, mode and way to be without a verdict has a golden case in cases/.

A word of the language that is added without a case fails here, and says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from guards.errors import ErrorKind
from guards.verdict import Scope
from policies.actions import DIALECTS
from policies.cases import ACTIONS
from policies.decide import CONFLICT, NOT_RUN
from policies.errors import Problems
from policies.model import GUARD_UNAVAILABLE, UNCOVERED_PART, Mode
from policies.options import plain
from policies.read_matchers import _BOUNDS, _CONDITIONS
from policies.read_reviews import ON_TIMEOUT
from policies.vocabulary import COMBINATIONS, FACTS, KNOWN_GUARDS
from policies.yaml_strict import parse

FOLDER = Path(__file__).parent / "cases"
LIBRARY = Path(__file__).parents[2] / "policies" / "library"
CASES = [yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*.yaml"))]


def policy_of(case: dict[str, Any]) -> dict[str, Any]:
    text = (LIBRARY / case["library"]).read_text() if "library" in case else case["policy"]
    policy = plain(parse(text.encode(), "policy", Problems()))
    assert isinstance(policy, dict)
    return policy


def looking(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of the case that look at one of its parts."""
    scopes = {said[0] for said in case["parts"].values()}
    return [rule for rule in policy_of(case)["rules"] if scopes & set(rule["on"])]


def keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from keys_in(item)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_in(inner)


def conditions(case: dict[str, Any]) -> set[str]:
    return {key for rule in looking(case) for part in ("when", "unless") for key in keys_in(rule.get(part))}


def doing(case: dict[str, Any]) -> set[str]:
    """What the deciding rules do, by every key of theirs."""
    decided = set(case["decision"].get("rules", []))
    found = [rule["do"] for rule in looking(case) if rule["id"] in decided]
    return {key for do in found for key in ([do] if isinstance(do, str) else do)}


def missing(wanted: Any, found: Any) -> list[str]:
    return sorted(set(map(str, wanted)) - set(map(str, found)))


def test_every_condition() -> None:
    said = set().union(*map(conditions, CASES))
    assert missing((*_CONDITIONS, *_BOUNDS, *COMBINATIONS, *FACTS), said) == []


def test_every_scope_is_judged_by_a_rule() -> None:
    """But images, which no guard can see: what is expected of them is a refusal."""
    scopes = {said[0] for case in CASES for said in case["parts"].values()}
    assert missing(Scope, scopes) == []
    judged = {scope for case in CASES for rule in looking(case) for scope in rule["on"]}
    assert missing(set(Scope) - {Scope.IMAGE}, judged) == []


def test_every_action_decides() -> None:
    assert missing(ACTIONS, {case["decision"]["action"] for case in CASES}) == []
    acts = {"allow", "annotate", "flag", "redact", "replace", "replace_response", "route", "review", "block"}
    assert missing(acts, set().union(*map(doing, CASES))) == []


def test_every_mode() -> None:
    modes = {rule.get("mode", "enforce") for case in CASES for rule in looking(case)}
    assert missing(Mode, modes) == []
    assert {"off", "block", "error"} <= {what for case in CASES for _, what in case["decision"].get("shadow", [])}


def test_every_way_to_be_without_a_verdict() -> None:
    kinds = {kind for case in CASES for _, kind in case["decision"].get("errors", [])}
    assert missing((*ErrorKind, NOT_RUN, CONFLICT), kinds) == []


def test_what_follows_from_no_verdict() -> None:
    """Closed by the defaults, the detector or the rule; open while it is accepted, and after that; nobody looked."""
    ends = {case["decision"].get("code") for case in CASES}
    assert {GUARD_UNAVAILABLE, UNCOVERED_PART} <= ends
    assert any(case["decision"].get("opened") for case in CASES)
    said = {
        place: {_kind(one.get("on_error")) for case in CASES for one in found(policy_of(case))}
        for place, found in (
            ("defaults", lambda policy: [policy.get("defaults") or {}]),
            ("detector", lambda policy: policy["detectors"].values()),
            ("rule", lambda policy: policy["rules"]),
        )
    }
    wanted = ("closed", "review", "open")
    assert {place: missing(wanted, kinds) for place, kinds in said.items()} == {place: [] for place in said}


def _kind(on_error: Any) -> str:
    return "review" if isinstance(on_error, dict) else str(on_error)


def test_what_follows_where_no_rule_looks() -> None:
    said = {(policy_of(case).get("defaults") or {}).get("uncovered") for case in CASES}
    assert missing(("allow", "deny"), said) == []


def test_every_dialect_of_a_block() -> None:
    said = {rule["do"]["block"].get("dialect") for case in CASES for rule in looking(case) if "block" in rule["do"]}
    assert missing(DIALECTS, said) == []


def test_what_follows_from_no_vote() -> None:
    reviews = [rule["do"]["review"] for case in CASES for rule in looking(case) if "review" in rule["do"]]
    said = {review.get("on_timeout", "block") for review in reviews}
    assert missing(ON_TIMEOUT, said) == []


def test_text_that_left_before_it_was_judged() -> None:
    assert any(case.get("facts", {}).get("released") for case in CASES)


@pytest.mark.parametrize("use", [use for use, facts in KNOWN_GUARDS.items() if not facts.is_model])
def test_every_guard_without_a_model(use: str) -> None:
    assert any(spec["use"] == use for case in CASES for spec in policy_of(case)["detectors"].values())
