"""What follows from findings: the strictest rule, nothing from missing verdicts, and nothing from any order."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.errors import ErrorKind
from guards.verdict import Finding, Scope
from policies.decide import decide
from policies.load import load_policy, parse_policy
from policies.model import Action, Decision, Flag, Redaction
from tests.policies.build import DETECTORS, document, facts, fails, part, policy_of, says

DEFAULT = Path(__file__).parents[2] / "policies" / "library" / "default.yaml"
BLOCK_ATTACK = (
    "- {id: attack, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: prompt_attack, message: No.}}}"
)
PASS = "- {id: pass, on: [user, output], do: allow}"
ASK = part("a question")


def concluded(rules: str, *findings: Finding, app: str = "a") -> Decision:
    return decide(policy_of(rules), findings, facts(ASK, app=app))


def test_nothing_to_stop_it_passes_by_the_rule_that_covers_it() -> None:
    assert concluded(PASS) == Decision(Action.ALLOW, ("pass",), exempt=(ASK.path,))


def test_score_at_the_threshold_blocks_and_one_millionth_below_passes() -> None:
    rules = f"{BLOCK_ATTACK}\n{PASS}"
    assert concluded(rules, says("inject", ASK, 500_000)) == Decision(
        Action.BLOCK, ("attack",), code="prompt_attack", message="No.", status=400
    )
    assert concluded(rules, says("inject", ASK, 499_999)) == Decision(Action.ALLOW, ("pass",))


def test_allow_never_overrides_a_block() -> None:
    assert concluded(f"{PASS}\n{BLOCK_ATTACK}", says("inject", ASK, 900_000)).action is Action.BLOCK


def test_ties_name_every_rule_and_the_first_by_name_speaks() -> None:
    rules = """
    - {id: two, on: [user], do: {block: {code: second}}}
    - {id: one, on: [user], do: {block: {code: first}, flag: {queue: q}}}
    - {id: note, on: [user], do: flag}
    """
    decision = concluded(rules)
    assert (decision.rules, decision.code, decision.message) == (("one", "two"), "first", None)
    assert decision.flags == (Flag("note", "default", "medium"), Flag("one", "q", "medium"))


@pytest.mark.parametrize("finding", [[], [fails("inject", ASK)], [fails("inject", ASK, ErrorKind.OVERLOAD)]])
def test_missing_verdict_is_503_whatever_the_reason(finding: list[Finding]) -> None:
    decision = concluded(f"{BLOCK_ATTACK}\n{PASS}", *finding)
    assert (decision.action, decision.code, decision.status) == (Action.BLOCK, "guard_unavailable", 503)
    assert decision.rules == ("attack",)
    assert decision.errors == (("inject", str(finding[0].error) if finding else "not_run"),)


def test_certain_block_is_400_even_when_another_guard_is_down() -> None:
    rules = f"{BLOCK_ATTACK}\n- {{id: harm, on: [user], when: {{harm: {{unsafe: true}}}}, do: {{block: {{code: h}}}}}}"
    decision = concluded(rules, says("inject", ASK, 999_999), fails("harm", ASK))
    assert (decision.code, decision.status, decision.rules) == ("prompt_attack", 400, ("attack",))
    assert decision.errors == (("harm", "timeout"),)


def test_error_that_cannot_change_the_outcome_of_a_rule_does_not_stop_it() -> None:
    rules = "- {id: other, on: [user], when: {app: staff, inject: {unsafe: true}}, do: {block: {code: c}}}\n" + PASS
    assert concluded(rules, fails("inject", ASK), app="a").action is Action.ALLOW
    assert concluded(rules, fails("inject", ASK), app="staff").status == 503


def test_any_is_certain_with_one_match_although_another_detector_is_down() -> None:
    rules = (
        "- {id: forged, on: [user], "
        "when: {any: [{hidden: {count: {gte: 1}}}, {inject: {unsafe: true}}]}, do: {block: {code: c}}}"
    )
    assert concluded(rules, says("hidden", ASK, spans=((0, 1, "tags"),)), fails("inject", ASK)).status == 400
    assert concluded(rules, says("hidden", ASK), fails("inject", ASK)).status == 503


def test_exception_that_cannot_be_judged_does_not_excuse() -> None:
    rules = (
        "- {id: harm, on: [user], when: {inject: {unsafe: true}}, unless: {harm: {only: [S6]}}, "
        "do: {block: {code: c}}}\n" + PASS
    )
    attack, harmless = says("inject", ASK, 900_000), says("inject", ASK, 1)
    assert concluded(rules, attack, fails("harm", ASK)).status == 503
    assert concluded(rules, attack, says("harm", ASK, 900_000, {"S6": 900_000})).action is Action.ALLOW
    assert concluded(rules, attack, says("harm", ASK, 900_000, {"S6": 900_000, "S1": 900_000})).status == 400
    assert concluded(rules, harmless, fails("harm", ASK)).action is Action.ALLOW


def test_error_on_a_part_without_rules_for_the_detector_is_not_asked_for() -> None:
    answer = part("an answer", Scope.OUTPUT, "/choices/0/message/content")
    policy = policy_of(f"{BLOCK_ATTACK}\n{PASS}")
    decision = decide(policy, [fails("inject", answer)], facts(answer))
    assert decision == Decision(Action.ALLOW, ("pass",), exempt=(answer.path,))


def test_part_that_no_rule_looks_at_is_refused() -> None:
    image = part("", Scope.IMAGE, "/messages/0/content/1")
    decision = decide(policy_of(PASS), [], facts(ASK, image))
    assert (decision.code, decision.status) == ("uncovered_part", 400)
    assert decision.uncovered == ("/messages/0/content/1",)
    assert decision.rules == ()


def test_uncovered_part_is_not_covered_up_by_a_503() -> None:
    image = part("", Scope.IMAGE, "/messages/0/content/1")
    decision = decide(policy_of(f"{BLOCK_ATTACK}\n{PASS}"), [fails("inject", ASK)], facts(ASK, image))
    assert (decision.code, decision.status, decision.errors) == ("uncovered_part", 400, (("inject", "timeout"),))


def test_allow_for_one_app_covers_that_app_only() -> None:
    rules = "- {id: staff-only, on: [user], when: {app: staff}, do: allow}"
    assert concluded(rules, app="staff").action is Action.ALLOW
    assert concluded(rules, app="public").code == "uncovered_part"


def test_rule_for_one_app_does_not_cover_another_app() -> None:
    rules = "- {id: r, on: [user], when: {app: staff, inject: {unsafe: true}}, do: {block: {code: c}}}"
    assert concluded(rules, says("inject", ASK, 1), app="staff").action is Action.ALLOW
    assert concluded(rules, says("inject", ASK, 1), app="public").code == "uncovered_part"


def test_a_part_is_exempt_where_no_rule_that_applies_needs_a_verdict() -> None:
    """The audit log has to tell a part that nobody had to judge from one that was forgotten."""
    staff = (
        f"- {{id: r, on: [user], when: {{app: staff, inject: {{unsafe: true}}}}, do: {{block: {{code: c}}}}}}\n{PASS}"
    )
    shadow = f"- {{id: trial, mode: shadow, on: [user], when: {{inject: {{unsafe: true}}}}, do: flag}}\n{PASS}"
    for rules in (staff, shadow):
        assert concluded(rules, fails("inject", ASK)).exempt == (ASK.path,)
        assert concluded(rules, says("inject", ASK, 1)).exempt == (), "judged all the same"
    assert concluded(staff, app="staff").exempt == (), "blocked, for want of a verdict"
    assert concluded(f"{BLOCK_ATTACK}\n{PASS}", says("inject", ASK, 1)).exempt == ()


def test_rule_that_looked_and_found_nothing_covers() -> None:
    assert concluded(BLOCK_ATTACK, says("inject", ASK, 1)) == Decision(Action.ALLOW)


def test_shadow_rule_changes_nothing_and_is_recorded() -> None:
    shadow = "- {id: trial, mode: shadow, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: c}}}\n" + PASS
    plain = concluded(PASS)
    matched = concluded(shadow, says("inject", ASK, 900_000))
    assert matched.shadow == (("trial", "block"),)
    assert (matched.action, matched.rules, matched.status) == (plain.action, plain.rules, plain.status)
    down = concluded(shadow, fails("inject", ASK))
    assert (down.action, down.shadow, down.errors) == (Action.ALLOW, (("trial", "error"),), (("inject", "timeout"),))
    assert concluded(shadow, says("inject", ASK, 1)).shadow == ()


def test_shadow_rule_covers_nothing() -> None:
    shadow = "- {id: trial, mode: shadow, on: [user], do: allow}"
    assert concluded(shadow).code == "uncovered_part"


REDACT = '- {id: keys, on: [user], when: {creds: {count: {gte: 1}}}, do: {redact: {as: "[{label}]"}}}'


def test_overlapping_cuts_of_all_rules_are_united_and_sorted() -> None:
    rules = REDACT + '\n- {id: marks, on: [user], when: {hidden: {entity: tags}}, do: {redact: {as: "#"}}}'
    text = part("0123456789")
    found = [
        says("creds", text, spans=((6, 8, "jwt"), (1, 4, "jwt"))),
        says("hidden", text, spans=((3, 5, "tags"), (8, 9, "tags"), (9, 10, "bidi"))),
    ]
    decision = decide(policy_of(rules), found, facts(text))
    assert decision.redactions == (
        Redaction(text.path, 1, 5, "[jwt]", "keys"),
        Redaction(text.path, 6, 8, "[jwt]", "keys"),
        Redaction(text.path, 8, 9, "#", "marks"),
    )
    assert (decision.action, decision.rules) == (Action.REDACT, ("keys", "marks"))


@pytest.mark.parametrize("hidden", [(1, 7), (1, 5), (3, 9)])
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_of_cuts_that_overlap_the_one_that_shows_less_is_filled_in(
    names: tuple[str, str], hidden: tuple[int, int]
) -> None:
    showing = (
        f'- {{id: {names[0]}, on: [user], when: {{creds: {{count: {{gte: 1}}}}}}, do: {{redact: {{as: "{{last2}}"}}}}}}'
    )
    removing = f'- {{id: {names[1]}, on: [user], when: {{hidden: {{entity: tags}}}}, do: {{redact: {{as: "#"}}}}}}'
    text = part("0123456789")
    found = [says("creds", text, spans=((1, 7, "jwt"),)), says("hidden", text, spans=((*hidden, "tags"),))]
    [cut] = decide(policy_of(f"{showing}\n{removing}"), found, facts(text)).redactions
    assert (cut.start, cut.end, cut.replacement, cut.rule) == (1, max(7, hidden[1]), "#", names[1])


def test_span_outside_the_text_takes_the_whole_text_with_it() -> None:
    text = part("short")
    decision = decide(policy_of(REDACT), [says("creds", text, spans=((2, 99, "jwt"),))], facts(text))
    assert decision.redactions == (Redaction(text.path, 0, 5, "[removed]", "keys"),)


def test_redaction_with_half_of_its_detectors_down_is_no_redaction() -> None:
    rules = (
        "- {id: r, on: [user], when: {any: [{creds: {count: {gte: 1}}}, {hidden: {count: {gte: 1}}}]}, "
        "do: {redact: {as: x}}}"
    )
    assert concluded(rules, says("creds", ASK, spans=((0, 1, "jwt"),)), fails("hidden", ASK)).status == 503


def test_replacement_of_a_label_is_not_read_as_a_placeholder_again() -> None:
    text = part("0123456789")
    rules = REDACT.replace("[{label}]", "{label}{label}")
    decision = decide(policy_of(rules), [says("creds", text, spans=((0, 1, "{label}"),))], facts(text))
    assert decision.redactions[0].replacement == "{label}{label}"


def test_verdict_about_another_text_at_the_same_path_is_no_verdict() -> None:
    other = part("another text")
    decision = concluded(f"{BLOCK_ATTACK}\n{PASS}", says("inject", other, 0))
    assert decision.errors == (("inject", "not_run"),)
    assert decision.status == 503


def test_two_findings_that_contradict_each_other_are_no_verdict() -> None:
    rules = f"{BLOCK_ATTACK}\n{PASS}"
    first, second = says("inject", ASK, 0), says("inject", ASK, 900_000)
    for found in ([first, second], [second, first], [first, fails("inject", ASK)], [fails("inject", ASK), first]):
        assert concluded(rules, *found).errors == (("inject", "conflict"),)
        assert concluded(rules, *found).status == 503
    assert concluded(rules, first, first).action is Action.ALLOW


def test_two_parts_at_one_path_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="same path"):
        decide(policy_of(PASS), [], facts(ASK, part("other")))


def test_of_a_part_that_nobody_could_cut_nothing_is_kept() -> None:
    rule = '- {id: r, on: [user], when: {creds: {count: {gte: 1}}}, do: {redact: {as: "[{type}]", before_audit: true}}}'
    decision = decide(policy_of(rule), [fails("creds", ASK, ErrorKind.TIMEOUT)], facts(ASK))
    assert decision.code == "guard_unavailable"
    assert decision.redactions == (Redaction(ASK.path, 0, len(ASK.text), "[removed]", "r", before_audit=True),)
    kept = decide(policy_of(rule.replace(", before_audit: true", "")), [], facts(ASK))
    assert kept.redactions == ()


RULES = [
    BLOCK_ATTACK,
    PASS,
    REDACT,
    "- {id: harm, on: [user, output], when: {harm: {category: [S9, S1]}}, unless: {app: lab}, do: {block: {code: h}}}",
    '- {id: marks, on: [user, output], when: {hidden: {count: {gte: 2}}}, do: {redact: {as: "#"}, flag: {queue: q}}}',
    "- {id: odd, on: [output], when: {not: {inject: {score: {lt: 0.3}}}}, do: flag}",
    "- {id: trial, mode: shadow, on: [user, output], when: {creds: {entity: jwt}}, do: {block: {code: t}}}",
    "- {id: only-s6, on: [user], when: {any: [{harm: {only: [S6]}}, {all: [{app: a}, {model: m}]}]}, do: flag}",
    "- {id: note, on: [user, output], when: {harm: {unsafe: true}}, do: {annotate: {field: seen}}}",
    "- {id: gone, on: [user], when: {inject: {score: {gte: 0.3}}}, do: {replace: {text: gone}}}",
    "- {id: sorry, on: [user, output], when: {harm: {category: [S6]}}, do: {replace_response: {template: sorry}}}",
    "- {id: regret, on: [output], when: {hidden: {count: {gte: 1}}}, do: {replace_response: {template: regret}}}",
    '- {id: back, on: [user], when: {creds: {entity: jwt}}, do: {redact: {as: "{token}", reversible: tenant}}}',
    '- {id: kept, on: [user], when: {hidden: {entity: bidi}}, do: {redact: {as: "{first2}", before_audit: true}}}',
    "- {id: other, on: [user], when: {harm: {category: [S1]}}, do: {route: {model: b, require_seed: true}}}",
    "- {id: another, on: [user], when: {inject: {unsafe: true}}, do: {route: {model: a}}}",
    "- {id: people, on: [output], when: {harm: {category: [S1]}}, do: {review: {queue: q, hold: response}}}",
    "- {id: lax, on: [output], when: {creds: {count: {gte: 3}}}, do: flag, on_error: open, "
    "accept_risk: {by: x, ticket: T-1, until: 2030-01-01}}",
    "- {id: rest, on: [user], mode: off, until: 2030-01-01, when: {inject: {unsafe: true}}, do: {block: {code: r}}}",
]
TEMPLATES = "templates: {sorry: Sorry., regret: We regret.}\n"
PARTS = [
    part("0123456789", Scope.USER, "/a"),
    part("abcdefghij", Scope.OUTPUT, "/choices/0/b"),
    part("", Scope.USER, "/c"),
    part("x", Scope.IMAGE, "/d"),
]
scores = st.sampled_from([0, 199_999, 200_000, 499_999, 500_000, 1_000_000])
spans = st.lists(
    st.tuples(st.integers(0, 5), st.integers(6, 10), st.sampled_from(["jwt", "tags", "bidi"])), max_size=3
).map(tuple)


@st.composite
def some_findings(draw) -> list[Finding]:
    found = []
    for detector in ("inject", "harm", "hidden", "creds"):
        for about in PARTS:
            kind = draw(st.sampled_from(["value", "value", "value", "error", "absent", "both"]))
            if kind in ("value", "both"):
                categories = draw(st.dictionaries(st.sampled_from(["S1", "S6", "S9"]), scores))
                has_spans = detector in ("hidden", "creds")
                found.append(says(detector, about, draw(scores), categories, draw(spans) if has_spans else ()))
            if kind in ("error", "both"):
                found.append(fails(detector, about, draw(st.sampled_from(list(ErrorKind)))))
    return found


ALL = policy_of("\n".join(RULES), defaults=TEMPLATES)


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    found=some_findings(),
    app=st.sampled_from(["a", "lab"]),
    at=st.sampled_from([None, 1_800_000_000, 1_999_999_999]),
)
def test_order_never_matters(data, found, app, at) -> None:
    """Rules, detectors, findings and parts in any order: the same digest and the same decision."""
    detectors = data.draw(st.permutations(DETECTORS.strip().split("\n")))
    rules = data.draw(st.permutations(RULES))
    shuffled = policy_of("\n".join(rules), detectors="\n".join(detectors), watch=True, defaults=TEMPLATES)
    assert shuffled.digest == ALL.digest
    parts = data.draw(st.permutations(PARTS))
    expected = decide(ALL, found, facts(*PARTS, app=app, at=at))
    assert decide(shuffled, data.draw(st.permutations(found)), facts(*parts, app=app, at=at)) == expected


@settings(max_examples=80, deadline=None)
@given(data=st.data(), found=some_findings())
def test_taking_a_verdict_away_never_turns_a_block_into_a_pass(data, found) -> None:
    before = decide(ALL, found, facts(*PARTS[:3]))  # at no known time, when nobody accepts anything
    if not found:
        return
    without = list(found)
    without.remove(data.draw(st.sampled_from(found)))
    after = decide(ALL, without, facts(*PARTS[:3]))
    contradicted = any(kind == "conflict" for _, kind in before.errors)
    assert contradicted or before.action is not Action.BLOCK or after.action is Action.BLOCK


@settings(max_examples=80, deadline=None)
@given(found=some_findings())
def test_cuts_are_sorted_apart_and_inside_their_text(found) -> None:
    cuts = decide(ALL, found, facts(*PARTS[:2])).redactions
    lengths = {one.path: len(one.text) for one in PARTS}
    assert list(cuts) == sorted(cuts)
    assert all(0 <= cut.start < cut.end <= lengths[cut.path] for cut in cuts)
    assert all(a.path != b.path or a.end <= b.start for a, b in pairwise(cuts))


def test_deciding_a_chat_takes_microseconds() -> None:
    """The bound is ten times what it takes, so that a busy machine passes; bench/ measures."""
    policy = load_policy(DEFAULT)
    parts = (part("be kind", Scope.SYSTEM, "/0"), part("hi", Scope.HISTORY, "/1"), part("question", Scope.USER, "/2"))
    found = [says(spec.name, about) for about in parts for spec in policy.detectors_for(about.scope)]
    asked = facts(*parts)
    best = min(_timed(policy, found, asked) for _ in range(20))
    assert best < 500e-6


def _timed(policy, found, asked) -> float:
    started = time.perf_counter()
    for _ in range(10):
        decide(policy, found, asked)
    return (time.perf_counter() - started) / 10


def test_policies_do_not_share_state() -> None:
    text = document(PASS).encode()
    assert decide(parse_policy(text, "x"), [], facts(ASK)) == decide(parse_policy(text, "y"), [], facts(ASK))


def test_a_part_that_passes_on_an_accepted_risk_is_exempt_and_no_gap() -> None:
    """The verifier takes what was neither judged nor exempted for forgotten."""
    lax = BLOCK_ATTACK.replace("do:", "on_error: open, accept_risk: {by: x, ticket: T, until: 2030-01-01}, do:")
    policy = policy_of(f"{lax}\n{PASS}")
    silent = fails("inject", ASK)
    accepted = decide(policy, [silent], facts(ASK, at=1_700_000_000))
    assert (accepted.action, accepted.opened, accepted.exempt) == (Action.FLAG, (("attack", "T"),), (ASK.path,))
    assert decide(policy, [silent], facts(ASK)).exempt == ()
    strict = policy_of(f"{lax}\n{BLOCK_ATTACK.replace('id: attack', 'id: strict')}")
    assert decide(strict, [silent], facts(ASK, at=1_700_000_000)).exempt == (), "another rule does not give way"
