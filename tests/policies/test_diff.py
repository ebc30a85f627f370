"""What a reviewer is told of an edit, and that no weakening hides in it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.verdict import Finding, Scope, Verdict
from policies.changes import Effect
from policies.decide import decide
from policies.diff import diff
from policies.load import load_policy, parse_policy
from policies.model import Action, Mode, Policy
from tests.policies.build import facts, part, policy_of

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
FILES = sorted(LIBRARY.glob("*.yaml"))


def loaded(text: str) -> Policy:
    return parse_policy(text.encode(), str(LIBRARY / "p.yaml"))


def without_rule(policy: Policy, rule_id: str) -> Policy:
    """Without what only this rule asked as well."""
    rules = tuple(rule for rule in policy.rules if rule.id != rule_id)
    asked = frozenset().union(*(rule.detectors() for rule in rules))
    kept = {name: spec for name, spec in policy.detectors.items() if name in asked}
    return replace(policy, rules=rules, detectors=kept)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_policy_does_not_differ_from_itself_in_whatever_order(file: Path) -> None:
    text = file.read_text()
    policy = loaded(text)
    assert diff(policy, policy).changes == ()
    head, rules = text.split("\nrules:\n")
    listed = re.split(r"(?m)^(?=  - id:)", rules.split("\ntests:")[0] + "\n")
    shuffled = listed[1:]
    random.Random(7).shuffle(shuffled)
    other = loaded(f"{head}\nrules:\n{listed[0]}{''.join(shuffled)}")
    assert {change.subject for change in diff(policy, other).changes} <= {"test"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_without_any_one_enforcing_rule_that_acts_a_policy_is_weaker(file: Path) -> None:
    policy = load_policy(file)
    enforcing = [rule for rule in policy.rules if rule.mode is Mode.ENFORCE and rule.do.action is not Action.ALLOW]
    acting = [rule.id for rule in enforcing if not rule.relaxes]
    assert len(acting) > 2
    for rule_id in acting:
        edited = without_rule(policy, rule_id)
        found = diff(policy, edited)
        removed = [change for change in found.changes if change.subject == "rule"]
        assert [(change.name, change.aspect, change.effect) for change in removed] == [
            (rule_id, "removed", Effect.WEAKER)
        ]
        assert found.is_weaker
        # A rule that is the only one to look at a scope lets parts of it pass that were refused as uncovered before.
        weaker = [change for change in diff(edited, policy).changes if change.effect is Effect.WEAKER]
        assert {change.subject for change in weaker} <= {"scope"}


THRESHOLD = re.compile(r"(?<=threshold: )0\.\d+")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_raising_any_threshold_is_weaker_and_lowering_it_is_not(file: Path) -> None:
    text = file.read_text()
    policy, found = loaded(text), list(THRESHOLD.finditer(text))
    assert found
    for place in found:
        edited = loaded(text[: place.start()] + "0.999" + text[place.end() :])
        (change,) = diff(policy, edited).changes
        assert (change.subject, change.aspect, change.effect) == ("detector", "threshold", Effect.WEAKER)
        assert change.rules


ONE = "- {id: own, on: [user, history], when: {inject: {score: {gte: 0.5}}}, do: {block: {code: x}}}\n"
PASS = "- {id: pass, on: [user, history], do: allow}\n"


@pytest.mark.parametrize(
    ("rules", "aspect", "effect"),
    [
        (ONE.replace("[user, history]", "[user]"), "scopes lost", Effect.WEAKER),
        (ONE.replace("[user, history]", "[user, history, output]"), "scopes gained", Effect.STRONGER),
        (ONE.replace("gte: 0.5", "gte: 0.6"), "condition", Effect.WEAKER),
        (ONE.replace("gte: 0.5", "gte: 0.4"), "condition", Effect.STRONGER),
        (ONE.replace("when: {", "when: {tenant: clinic, "), "condition", Effect.WEAKER),
        (ONE.replace("do:", "unless: {harm: {only: [S6]}}, do:"), "condition", Effect.WEAKER),
        (ONE.replace("do:", "mode: shadow, do:"), "mode", Effect.WEAKER),
        (ONE.replace("{block: {code: x}}", "flag"), "action", Effect.WEAKER),
        (ONE.replace("code: x}", "code: x}, flag: {severity: high}"), "flag", Effect.STRONGER),
        (ONE.replace("code: x", "code: y"), "code", Effect.OTHER),
        (ONE.replace("code: x", "code: x, message: hello"), "message", Effect.OTHER),
    ],
)
def test_an_edit_of_a_rule_is_told_with_the_way_it_goes(rules: str, aspect: str, effect: Effect) -> None:
    found = diff(policy_of(ONE + PASS), policy_of(rules + PASS))
    told = [(change.aspect, change.effect) for change in found.changes if change.subject == "rule"]
    assert (aspect, effect) in told
    assert found.is_weaker or effect is not Effect.WEAKER


def test_a_rule_under_another_name_is_not_missed() -> None:
    found = diff(policy_of(ONE + PASS), policy_of(ONE.replace("id: own", "id: renamed") + PASS))
    assert [(change.name, change.aspect, change.effect) for change in found.changes] == [
        ("own", "removed", Effect.OTHER),
        ("renamed", "added", Effect.STRONGER),
    ]
    assert not found.is_weaker


def test_shadow_rules_decide_nothing_until_they_enforce() -> None:
    shadow = ONE.replace("do:", "mode: shadow, do:")
    assert not diff(policy_of(shadow + PASS), policy_of(PASS)).is_weaker
    edited = shadow.replace("gte: 0.5", "gte: 0.9").replace("[user, history]", "[user]")
    assert not diff(policy_of(shadow + PASS), policy_of(edited + PASS)).is_weaker
    found = diff(policy_of(shadow + PASS), policy_of(ONE + PASS))
    assert [(change.aspect, change.effect) for change in found.changes] == [("mode", Effect.STRONGER)]


@pytest.mark.parametrize("added", ["do: allow", "do: flag", "when: {inject: {unsafe: true}}, do: {block: {code: x}}"])
def test_whatever_lets_a_scope_pass_that_was_refused_is_weaker(added: str) -> None:
    """Also a rule that blocks: parts that it does not match were refused before, and pass now."""
    found = diff(policy_of(ONE + PASS), policy_of(ONE + PASS + f"- {{id: more, on: [output], {added}}}"))
    scopes = [(change.name, change.effect, change.before) for change in found.changes if change.subject == "scope"]
    assert scopes == [("output", Effect.WEAKER, "no rule, refused")]
    assert (
        not diff(policy_of(ONE + PASS + f"- {{id: more, on: [output], {added}}}"), policy_of(ONE + PASS)).count(
            Effect.WEAKER
        )
        or "allow" not in added
    )


CONDITIONS = (
    "inject: {unsafe: true}",
    "inject: {unsafe: false}",
    "inject: {score: {gte: 0.6}}",
    "harm: {category: [S1, S9]}",
    "harm: {category: [S9]}",
    "harm: {only: [S1, S6]}",
    "tenant: t",
    "any: [{harm: {unsafe: true}}, {tenant: [t, u]}]",
    "not: {harm: {unsafe: true}}, inject: {score: {gte: 0.2}}",
)
DOING = ("allow", "flag", "{block: {code: x}}", "{block: {code: x}}")
GENERATED = st.builds(
    lambda scope, when, unless, action, mode: (
        f"on: [{scope}], when: {{{when}}}{unless and f', unless: {{{unless}}}'}, do: {action}, mode: {mode}"
    ),
    st.sampled_from(("user", "output", "user, output")),
    st.sampled_from(CONDITIONS),
    st.one_of(st.just(""), st.sampled_from(CONDITIONS)),
    st.sampled_from(DOING),
    st.sampled_from(("enforce", "enforce", "shadow")),
)
THRESHOLDS = st.builds(
    "inject: {{use: starter_injection, threshold: {}}}\n"
    "harm: {{use: starter_hazard, threshold: {}, categories: {{S9: {}}}}}".format,
    st.sampled_from((0.3, 0.7)),
    st.sampled_from((0.4, 0.6)),
    st.sampled_from((0.2, 0.4, 0.6)),
)
ASKED = "{any: [{inject: {unsafe: true}}, {harm: {unsafe: true}}]}"
WATCH = f"- {{id: watch, mode: shadow, on: [system], when: {ASKED}, do: flag}}"
LEVELS = (100_000, 250_000, 350_000, 450_000, 650_000, 900_000)
SAID = st.tuples(
    st.sampled_from(LEVELS), st.dictionaries(st.sampled_from(("S1", "S2", "S6", "S9")), st.sampled_from(LEVELS))
)


def made(rules: dict[int, str], detectors: str) -> Policy:
    listed = [f"- {{id: r{index}, {text}}}" for index, text in rules.items()]
    return policy_of("\n".join([*listed, WATCH]), detectors=detectors, watch=False)


@given(
    st.dictionaries(st.integers(0, 3), GENERATED, min_size=1),
    st.dictionaries(st.integers(0, 5), GENERATED, max_size=2),
    st.tuples(THRESHOLDS, THRESHOLDS),
    st.lists(SAID, min_size=8, max_size=8),
    st.sampled_from((Scope.USER, Scope.OUTPUT)),
)
@settings(max_examples=250, deadline=None)
def test_what_is_not_weaker_never_decides_less(
    before: dict[int, str],
    edits: dict[int, str],
    detectors: tuple[str, str],
    said: list[tuple[int, dict[str, int]]],
    scope: Scope,
) -> None:
    """The promise of the whole comparison, against the decisions themselves."""
    was, now = made(before, detectors[0]), made(before | edits, detectors[1])
    if diff(was, now).is_weaker:
        return
    one = part(scope=scope)
    for inject, harm in said:
        categories = tuple(sorted(harm.items()))
        findings = [
            Finding("inject", one, Verdict(inject)),
            Finding("harm", one, Verdict(max(harm.values(), default=0), categories)),
        ]
        for tenant in "tuv":
            asked = facts(one, tenant=tenant)
            assert decide(now, findings, asked).action >= decide(was, findings, asked).action


def test_names_tests_and_owners_are_told_and_weaken_nothing() -> None:
    text = (LIBRARY / "default.yaml").read_text()
    edited = text.replace("name: default\n", "name: mine\n").replace("name: talk about", "name: words about")
    found = diff(load_policy(LIBRARY / "default.yaml"), loaded(edited))
    assert [(change.subject, change.aspect) for change in found.changes] == [
        ("policy", "name"),
        ("test", "removed"),
        ("test", "added"),
    ]
    assert not found.is_weaker
