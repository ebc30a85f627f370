"""Rules: an action that could not be carried out does not load."""

from __future__ import annotations

import pytest

from guards.verdict import Scope
from policies.model import Action, Do, Mode
from tests.policies.build import HEAD, policy_of, problems_in, problems_of

WINDOW = "defaults: {stream: {mode: window, window: 64 tokens%s}}\n"
COUNT = "when: {creds: {count: {gte: 1}}}"


def do_of(do: str, rest: str = COUNT) -> Do:
    rules = policy_of(f"- {{id: r, on: [user], {rest}, do: {do}}}").rules
    return next(rule.do for rule in rules if rule.id == "r")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("allow", Do(Action.ALLOW)),
        ("flag", Do(Action.FLAG, queue="default", severity="medium")),
        ("{flag: {}}", Do(Action.FLAG, queue="default", severity="medium")),
        ("{flag: {queue: q, severity: high}}", Do(Action.FLAG, queue="q", severity="high")),
        ("{block: {code: c}}", Do(Action.BLOCK, code="c")),
        ("{block: {code: c, message: No.}}", Do(Action.BLOCK, code="c", message="No.")),
        (
            "{block: {code: c}, flag: {queue: q}}",
            Do(Action.BLOCK, code="c", queue="q", severity="medium"),
        ),
        ('{redact: {as: "[{label}]"}}', Do(Action.REDACT, replacement="[{label}]")),
    ],
)
def test_actions(written: str, meant: Do) -> None:
    assert do_of(written) == meant


def test_rule_keeps_scopes_mode_and_exception() -> None:
    policy = policy_of("- {id: r, mode: shadow, on: [output, user], unless: {app: x}, do: flag, on_error: closed}")
    rule = policy.rules[0]
    assert (rule.id, rule.mode, rule.scopes) == ("r", Mode.SHADOW, {Scope.USER, Scope.OUTPUT})
    assert rule.unless is not None


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{on: [user], do: allow}", "rule has no `id`"),
        ("{id: r, do: allow}", "rule has no `on`"),
        ("{id: r, on: [user]}", "rule has no `do`"),
        ("{id: r, on: [], do: allow}", "`on` is an empty list, expected at least 1 in it"),
        ("{id: r, on: user, do: allow}", "`on` is `user`, expected a list"),
        ("{id: r, on: [user, user], do: allow}", "item of `on` is here twice"),
        ("{id: R, on: [user], do: allow}", "`id` is `R`, expected a name of small letters, digits, `-` and `_`"),
        ("{id: 7, on: [user], do: allow}", "`id` is `7`, expected a name of small letters, digits, `-` and `_`"),
        ("{id: r, on: [user], do: block}", "`block` needs its particulars"),
        ("{id: r, on: [user], do: redact}", "`redact` needs its particulars"),
        ("{id: r, on: [user], do: deny}", "`do` is `deny`, expected one of `allow`, `flag`"),
        (
            "{id: r, on: [user], do: {}}",
            "`do` names no action, expected `allow`, `flag`, `annotate`, `block`, `redact`",
        ),
        ("{id: r, on: [user], do: [allow]}", "`do` is a list, expected a mapping"),
        ("{id: r, on: [user], do: {allow: {}}}", "`allow` stands alone"),
        ("{id: r, on: [user], do: {block: {}}}", "`block` has no `code`"),
        ("{id: r, on: [user], do: {block: {code: Bad}}}", "`code` is `Bad`, expected a name of small letters"),
        (
            "{id: r, on: [user], do: {block: {code: guard_unavailable}}}",
            "code `guard_unavailable` is the gateway's own, expected another name",
        ),
        ("{id: r, on: [user], do: {block: {code: c, message: 5}}}", "`message` is `5`, expected a text"),
        ("{id: r, on: [user], do: {flag: {severity: huge}}}", "`severity` is `huge`, expected one of `low`"),
        (f"{{id: r, on: [user], {COUNT}, do: {{redact: {{}}}}}}", "`redact` has no `as`"),
        (
            f"{{id: r, on: [user], {COUNT}, do: {{redact: {{as: x}}, block: {{code: c}}}}}}",
            "`do` has both `block` and `redact`, expected one of them",
        ),
        (
            f'{{id: r, on: [user], {COUNT}, do: {{redact: {{as: "{{lable}}"}}}}}}',
            "`as` has an unknown placeholder `lable`",
        ),
        (f'{{id: r, on: [user], {COUNT}, do: {{redact: {{as: "{{"}}}}}}', "`as` has a loose brace"),
        ("{id: r, on: [user], do: {redact: {as: x}}}", "`redact` needs a condition in `when`"),
        ("{id: r, on: [user], when: {inject: {unsafe: true}}, do: {redact: {as: x}}}", "`redact` needs a condition"),
        (
            "{id: r, on: [user], when: {any: [{inject: {unsafe: true}}, {creds: {count: {gte: 1}}}]}, "
            "do: {redact: {as: x}}}",
            "`redact` needs a condition in `when`",
        ),
        ("{id: r, on: [user], when: {creds: {count: {lt: 1}}}, do: {redact: {as: x}}}", "`redact` needs a condition"),
        (
            f"{{id: r, on: [tool_schema], {COUNT}, do: {{redact: {{as: x}}}}}}",
            "`redact` cannot be done on `tool_schema` (block instead)",
        ),
        ("{id: r, on: [user], do: allow, mode: of}", "`mode` is `of`, expected one of `enforce`, `shadow`"),
        ("allow", "rule is `allow`, expected a mapping"),
    ],
)
def test_rule_that_cannot_be_carried_out_is_refused(rule: str, problem: str) -> None:
    problems = problems_of(f"- {rule}")
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_rule_ids_differ() -> None:
    rules = "- {id: r, on: [user], do: allow}\n- {id: r, on: [output], do: allow}"
    assert problems_of(rules)[0].startswith("rule id `r` is here twice, first in line ")


def test_redaction_in_a_window_stream_needs_a_holdback() -> None:
    """Without one, the first half of a key would have left before the second half is seen."""
    rule = "- {id: r, on: [output], when: {creds: {count: {gte: 1}}}, do: {redact: {as: x}}}"
    problem = "`redact` on `output` needs a `holdback` in `defaults.stream` when the mode is `window`"
    assert problems_of(rule, defaults=WINDOW % "") == [problem]
    assert policy_of(rule, defaults=WINDOW % ", holdback: 48 tokens")
    assert policy_of(rule, defaults="defaults: {stream: {mode: buffer}}\n")
    assert policy_of(rule.replace("output", "tool_call"), defaults=WINDOW % "")


@pytest.mark.parametrize(
    ("pattern", "needs"),
    [("BEGIN.*END", "any number of"), ("a{0,300}b", "301"), (r"\Qa.b\E", "any number of"), ("a{49,}", "49"),
     ("[a-z]{48,}", ""), ("BEGIN.{0,40}END", "")],
)  # fmt: skip
def test_redaction_in_a_window_stream_needs_a_holdback_that_shows_the_match_before_any_of_it_leaves(
    pattern: str, needs: str
) -> None:
    """Half of what a rule would have replaced must not have left when the rule finds it."""
    rule = "- {id: r, on: [reasoning], when: {own: {count: {gte: 1}}}, do: {redact: {as: x}}}"
    detectors, held = f"own: {{use: regex, pattern: '{pattern}'}}", WINDOW % ", holdback: 48 characters"
    if needs:
        [problem] = problems_of(rule, detectors=detectors, defaults=held)
        assert problem.startswith(f"a match of `own` may take {needs} characters to be known as one, and `holdback`")
    else:
        assert policy_of(rule, detectors=detectors, defaults=held)
    for harmless in (rule.replace("redact: {as: x}", "block: {code: c}"), rule.replace("[reasoning]", "[tool_call]")):
        assert policy_of(harmless, detectors=detectors, defaults=held)


def test_redaction_in_a_window_stream_of_what_is_looked_for_in_views_is_refused() -> None:
    """A match in decoded text may stand for any number of raw characters."""
    rule = "- {id: r, on: [reasoning], when: {own: {count: {gte: 1}}}, do: {redact: {as: x}}}"
    detectors, held = "own: {use: regex, pattern: abc, views: [decoded]}", WINDOW % ", holdback: 48 characters"

    [problem] = problems_of(rule, detectors=detectors, defaults=held)
    assert "any number of characters" in problem
    assert policy_of(rule.replace("[reasoning]", "[tool_call]"), detectors=detectors, defaults=held)
    assert policy_of(rule, detectors=detectors)


def test_what_judges_whole_answers_needs_a_rule_that_waits_for_them() -> None:
    detectors = "form: {use: json_schema}"
    rule = "- {id: r, on: [output], when: {form: {count: {gte: 1}}}, do: {block: {code: x}}%s}"
    told = "`form` (json_schema) judges whole answers, and the mode is `window`"
    [problem] = problems_of(rule % "", detectors=detectors, defaults=WINDOW % "")
    assert problem.startswith(told)
    assert policy_of(rule % ", stream: {mode: buffer}", detectors=detectors, defaults=WINDOW % "").rules
    assert policy_of(rule % "", detectors=detectors).rules


def test_a_redaction_needs_the_hold_back_that_its_guard_needs() -> None:
    rule = "- {id: r, on: [output], when: {pii: {count: {gte: 1}}}, do: {redact: {as: x}}}"
    detectors = "pii: {use: entities, find: [credit_card]}"
    [problem] = problems_of(rule, detectors=detectors, defaults=WINDOW % ", holdback: 20 characters")
    assert problem.startswith("a match of `pii` may take 37 characters to be known as one, and `holdback` keeps 20")
    assert policy_of(rule, detectors=detectors, defaults=WINDOW % ", holdback: 40 characters").rules


def test_a_promised_delay_and_a_redaction_contradict_each_other() -> None:
    rule = "- {id: r, on: [output], when: {creds: {count: {gte: 1}}}, do: {redact: {as: x}}}"
    late = WINDOW % ", holdback: 48 tokens, max_delay: 3s"
    [problem] = problems_of(rule, defaults=late)
    assert problem.startswith("`redact` on `output` cannot be kept to when `max_delay` lets go what is held back")
    assert policy_of(rule.replace("on:", "mode: shadow, on:"), defaults=late)
    [problem] = problems_of(rule.replace("on:", "mode: shadow, until: 2030-01-01, on:"), defaults=late)
    assert problem.startswith("`redact` on `output` cannot be kept to"), "the day comes"
    assert policy_of(rule.replace("output", "tool_call"), defaults=late)


@pytest.mark.parametrize("rules", ["rules: []", "rules: {}", "rules: x"])
def test_policy_without_rules_is_no_policy(rules: str) -> None:
    assert "has to be a list of 1 to 10000 rules" in problems_in(f"{HEAD}detectors: {{}}\n{rules}\n")[0]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("relaxes: hrm", "`relaxes` names `hrm`, which is no other rule (did you mean `harm`?)"),
        ("relaxes: r", "`relaxes` names `r`, which is no other rule"),
        ("relaxes: other", "`relaxes` names `other`, which looks at other scopes"),
        ("relaxes: harm, mode: shadow", "a rule that is `shadow` relaxes nothing"),
    ],
)
def test_an_exception_is_from_a_rule_that_is_there(rule: str, problem: str) -> None:
    others = "- {id: harm, on: [user], do: flag}\n- {id: other, on: [output], do: flag}\n"
    assert problems_of(f"{others}- {{id: r, on: [user], do: allow, {rule}}}")[0].startswith(problem)


def test_what_has_left_cannot_be_redacted_from_a_day_on_either() -> None:
    rule = f"- {{id: r, on: [output], {COUNT}, mode: %s, do: {{redact: {{as: x, before_audit: true}}}}}}"
    late = "defaults: {stream: {mode: shadow_only}}\n"
    for mode in ("enforce", "shadow, until: 2026-01-01"):
        assert any("once text has left" in problem for problem in problems_of(rule % mode, defaults=late))
    assert policy_of(rule % "shadow", defaults=late).rules
