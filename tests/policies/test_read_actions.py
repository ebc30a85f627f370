"""What a rule may do: each action with what it needs, and none that could not be carried out."""

from __future__ import annotations

import pytest

from policies.model import Action, Do, Review
from tests.policies.build import policy_of, problems_of

TEMPLATES = "templates: {sorry: We cannot answer that.}\n"
COUNT = "when: {creds: {count: {gte: 1}}}"
WINDOW = "defaults: {stream: {mode: window, window: 64 tokens, holdback: 64 tokens}}\n"


def do_of(do: str, scope: str = "user") -> Do:
    defaults = TEMPLATES if "template" in do else ""
    return policy_of(f"- {{id: r, on: [{scope}], {COUNT}, do: {do}}}", defaults=defaults).rules[0].do


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{annotate: {field: annex_three}}", Do(Action.ANNOTATE, field="annex_three")),
        (
            "{annotate: {field: a}, flag: {queue: q, severity: low}}",
            Do(Action.FLAG, queue="q", severity="low", field="a"),
        ),
        ("{replace: {text: gone}}", Do(Action.REPLACE, replacement="gone")),
        (
            "{replace_response: {template: sorry}, flag: {queue: q}}",
            Do(Action.REPLACE, template="sorry", queue="q", severity="medium"),
        ),
        (
            '{redact: {as: "[{type}:{token}]", reversible: tenant}}',
            Do(Action.REDACT, replacement="[{type}:{token}]", reversible=True),
        ),
        (
            '{redact: {as: "{first6}******{last4}", before_audit: true}, annotate: {field: pan}}',
            Do(Action.REDACT, replacement="{first6}******{last4}", before_audit=True, field="pan"),
        ),
        (
            "{review: {queue: q, quorum: 2, hold: request, timeout: 30m, on_timeout: block, distinct_from: requester}}",
            Do(Action.REVIEW, review=Review("q", 2, "request", 1_800_000, True)),
        ),
        ("{review: {queue: q, hold: request}}", Do(Action.REVIEW, review=Review("q", 1, "request", 900_000, False))),
        ("{route: {model: m, require_seed: true}}", Do(Action.ROUTE, model="m", require_seed=True)),
        ("{block: {code: c}, annotate: {field: a}}", Do(Action.BLOCK, code="c", field="a")),
    ],
)
def test_actions(written: str, meant: Do) -> None:
    assert do_of(written) == meant


@pytest.mark.parametrize(
    ("do", "problem"),
    [
        (
            '{redact: {as: "{token}", reversible: tenant, before_audit: true}}',
            "`reversible` brings the text back in answers, which are kept as they leave, against `before_audit`",
        ),
        ("review", "`review` needs its particulars (write `{review: {queue: …}}`)"),
        ("{review: {queue: q}}", "`review` has no `hold`"),
        ("{review: {queue: q, hold: request, quorum: 0}}", "`quorum` is `0`, expected a whole number 1 to 10"),
        ("{review: {queue: q, hold: request, timeout: 3d}}", "`timeout` is `3d`, expected a duration such as"),
        ("{review: {queue: q, hold: all}}", "`hold` is `all`, expected one of `request`, `response`, `tool_call`"),
        ("route", "`route` needs its particulars (write `{route: {model: …}}`)"),
        ("{route: {require_seed: true}}", "`route` has no `model`"),
        ("replace", "`replace` needs its particulars (write `{replace: {text: …}}`)"),
        ("annotate", "`annotate` needs its particulars"),
        ("{replace: {}}", "`replace` has no `text`"),
        ("{annotate: {field: Bad}}", "`field` is `Bad`, expected a name"),
        ("{replace: {text: x}, redact: {as: y}}", "`do` has both `redact` and `replace`, expected one of them"),
        ("{replace_response: {template: sory}}", "template `sory` is not one of `templates`, which has none"),
        ('{redact: {as: "[{token}]"}}', "`{token}` in `as` needs `reversible: tenant`"),
        ("{redact: {as: x, reversible: tenant}}", "`reversible` needs `{token}` in `as`"),
        ('{redact: {as: "[{token}]", reversible: all}}', "`reversible` is `all`, expected `tenant`"),
        ('{redact: {as: "{first0}"}}', "`as` has an unknown placeholder `first0`"),
        ("{replace: {txt: x}}", "unknown key `txt` in `replace` (did you mean `text`?)"),
    ],
)
def test_action_without_what_it_needs_is_refused(do: str, problem: str) -> None:
    problems = problems_of(f"- {{id: r, on: [user], {COUNT}, do: {do}}}")
    assert any(one.startswith(problem) for one in problems), problems


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("on: [image], do: {replace: {text: x}}", "`replace` cannot be done on `image`"),
        ("on: [tool_schema], do: {replace: {text: x}}", "`replace` cannot be done on `tool_schema`"),
        ("on: [output], do: {replace: {text: x}}", "`replace` on `output` cannot be done once text has left"),
        ("on: [tool_call], do: {replace_response: {template: sorry}}", "`replace_response` on `tool_call` cannot be"),
        (
            f'on: [output], {COUNT}, do: {{redact: {{as: "[{{token}}]", reversible: tenant}}}}',
            "`reversible` on `output`: what an answer says comes back to nobody",
        ),
        ("on: [user, output], do: {route: {model: m}}", "`route` on `output`: an answer has been made already"),
        ("on: [user], do: {review: {queue: q, hold: response}}", "`hold: response` does not fit the scope `user`"),
        (
            "on: [output], do: {review: {queue: q, hold: tool_call}}",
            "`hold: tool_call` does not fit the scope `output`",
        ),
        (
            "on: [tool_call], do: {review: {queue: q, hold: request}}",
            "`hold: request` does not fit the scope `tool_call`",
        ),
        ("on: [user], do: allow, stream: {mode: buffer}", "`stream` is for rules on `output`, `reasoning` or"),
    ],
)
def test_action_where_it_cannot_be_done_is_refused(rule: str, problem: str) -> None:
    used = "\n- {id: u, on: [user], do: {replace_response: {template: sorry}}}"
    assert problems_of(f"- {{id: r, {rule}}}{used}", defaults=WINDOW + TEMPLATES)[0].startswith(problem)


def test_a_rule_that_has_answers_held_whole_may_replace_them() -> None:
    rule = "- {id: r, on: [output], stream: {mode: buffer}, do: {replace_response: {template: sorry}}}"
    assert policy_of(rule, defaults=WINDOW + TEMPLATES).rules[0].buffers
    unheld = f"- {{id: r, on: [output], {COUNT}, stream: {{mode: buffer}}, do: {{redact: {{as: x}}}}}}"
    assert policy_of(unheld, defaults="defaults: {stream: {mode: window, window: 64 tokens}}\n").rules[0].buffers


def test_templates_are_used_and_of_some_length() -> None:
    rule = "- {id: r, on: [user], do: {replace_response: {template: sorry}}}"
    assert policy_of(rule, defaults=TEMPLATES).templates == {"sorry": "We cannot answer that."}
    unused = policy_of("- {id: r, on: [user], do: allow}", defaults=TEMPLATES)
    assert unused.templates == {"sorry": "We cannot answer that."}, "another policy may stand on this one and use it"
    long = f"templates: {{sorry: {'x' * 8_001}}}\n"
    assert "template `sorry` is longer than 8000 characters" in problems_of(rule, defaults=long)
