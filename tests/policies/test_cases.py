"""The tests in a policy file are read as strictly as its rules."""

from __future__ import annotations

import pytest

from guards.errors import ErrorKind
from guards.verdict import Scope
from policies.cases import Case, Expect, Fake, Faked, Message
from tests.policies.build import policy_of, problems_of

PASS = "- {id: pass, on: [user], do: allow}"


def case_of(text: str) -> Case:
    (case,) = policy_of(PASS, tests=text).cases
    return case


def test_case_is_read_whole() -> None:
    case = case_of(
        """
        - name: everything
          send: {messages: [{system: s}, {user: u}, {assistant: a}, {tool: t}, {user: u}], stream: true,
                 model: m, tenant: t, app: a}
          fake:
            inject: {score: 0.99}
            harm: {output: {unsafe: [S9, S1]}, user: {score: 0.1}}
            creds: {error: timeout}
            upstream: {chunks: [one, one]}
          expect: {action: block, rule: pass, rules: [pass, watch], code: c, status: 400, upstream_calls: 0,
                   shadow: [watch], client_never_sees: [x], upstream_sees: y}
        """
    )
    assert [message.role for message in case.send.messages] == ["system", "user", "assistant", "tool", "user"]
    assert (case.send.stream, case.send.model, case.send.tenant, case.send.app) == (True, "m", "t", "a")
    assert case.faked.fakes == (
        Fake("inject", None, 990_000),
        Fake("harm", Scope.OUTPUT, 1_000_000, (("S1", 1_000_000), ("S9", 1_000_000))),
        Fake("harm", Scope.USER, 100_000),
        Fake("creds", None, error=ErrorKind.TIMEOUT),
    )
    assert case.faked.upstream.chunks == ("one", "one")
    assert case.expect == Expect("block", "pass", ("pass", "watch"), "c", 400, 0, ("watch",), ("x",), ("y",))


def test_tools_are_offered_with_what_they_take() -> None:
    case = case_of(
        "- {name: n, send: {messages: [{user: hi}], tools: {run: {type: object}, stop: {}}}, expect: {action: allow}}"
    )
    assert case.send.tools == (("run", '{"type": "object"}'), ("stop", "{}"))


def test_what_a_case_does_not_say_is_not_expected() -> None:
    case = case_of("- {name: n, send: {messages: [{user: hi}]}, expect: {action: allow}}")
    assert case.expect == Expect("allow")
    assert case.send.messages == (Message("user", "hi"),)
    assert case.faked == Faked()


def test_texts_of_cases_are_in_no_repr_and_in_no_message() -> None:
    case = case_of(
        "- {name: n, send: {messages: [{user: sekrit}]}, fake: {upstream: {text: sekrit}}, "
        "expect: {action: allow, client_never_sees: sekrit}}"
    )
    assert "sekrit" not in repr(case)
    problems = problems_of(
        PASS,
        tests="- {name: n, send: {messages: [{user: [sekrit]}, {user: sekrit, tool: sekrit}]}, "
        "expect: {action: allow, client_never_sees: [sekrit, sekrit]}}",
    )
    assert len(problems) == 3
    assert "sekrit" not in str(problems)


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("{send: {messages: [{user: u}]}, expect: {action: allow}}", "test has no `name`"),
        ("{name: n, expect: {action: allow}}", "test has no `send`"),
        ("{name: n, send: {messages: [{user: u}]}}", "test has no `expect`"),
        ("{name: n, send: {}, expect: {action: allow}}", "`send` has no `messages`"),
        ("{name: n, send: {messages: []}, expect: {action: allow}}", "`messages` is an empty list"),
        ("{name: n, send: {messages: [{usr: u}]}, expect: {action: allow}}", "unknown key `usr` in message"),
        ("{name: n, send: {messages: [u]}, expect: {action: allow}}", "item of `messages` is `u`, expected a mapping"),
        ("{name: n, send: {messages: [{user: u}]}, expect: {}}", "`expect` has no `action`"),
        (
            "{name: n, send: {messages: [{user: u}]}, expect: {action: transform}}",
            "`transform` is not available in this version of Gatehouse",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, expect: {action: block, rule: pas}}",
            "`rule` is `pas`, expected one of `pass`, `watch` (did you mean `pass`?)",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {injct: {score: 1}}, expect: {action: allow}}",
            "unknown key `injct` in `fake` (did you mean `inject`?)",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {audit: {}}, expect: {action: allow}}",
            "`audit` has no `sinks_up`",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {creds: {score: 1}}, expect: {action: allow}}",
            "`creds` runs for real in a test (only its `error` and its `spans` can be faked)",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {inject: {error: tired}}, expect: {action: allow}}",
            "`error` is `tired`, expected one of `timeout`",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {inject: {error: timeout, score: 1}}, "
            "expect: {action: allow}}",
            "an `error` has neither `score` nor `unsafe`",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {inject: {unsafe: [S1]}}, expect: {action: allow}}",
            "`inject` names no categories (fake its `score`)",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {inject: {}}, expect: {action: allow}}",
            "fake of `inject` says nothing, expected `score`, `unsafe`, `error` or `spans`",
        ),
        (
            "{name: n, send: {messages: [{user: u}]}, fake: {upstream: {}}, expect: {action: allow}}",
            "`upstream` says nothing, expected `text`, `chunks`, `reasoning`, `tool_calls`, `class` or `classes`",
        ),
        ("x", "test is `x`, expected a mapping"),
    ],
)
def test_case_that_tests_nothing_is_refused(case: str, problem: str) -> None:
    problems = problems_of(PASS, tests=f"- {case}")
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_names_of_cases_differ() -> None:
    case = "- {name: n, send: {messages: [{user: u}]}, expect: {action: allow}}"
    assert problems_of(PASS, tests=f"{case}\n{case}")[0].startswith("test name is here twice, first in line ")
