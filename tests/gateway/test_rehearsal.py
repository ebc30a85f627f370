"""Tests of policies run through the real exchange, and fail when the policy does not do what they say."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from gateway.rehearsal import Rehearsal
from policies.cases import Case
from policies.load import load_policy, parse_policy
from policies.model import Mode, Policy

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
SMALL = """
gatehouse: policy/v1
name: small
version: '1'
defaults:
  stream: {mode: window, window: 8 characters, holdback: 24 characters}
  limits: {messages: 2}
detectors:
  inject: {use: starter_injection, threshold: 0.5}
  harm: {use: starter_hazard, threshold: 0.5}
  creds: {use: secrets, find: [password_assignment]}
rules:
  - {id: attack, on: [user, tool_result], when: {inject: {unsafe: true}}, do: {block: {code: prompt_attack}}}
  - {id: lab, on: [user], when: {harm: {category: [S9]}}, unless: {app: lab}, do: {block: {code: unsafe}}}
  - {id: harm-out, on: [output], when: {harm: {unsafe: true}}, do: {block: {code: unsafe}}}
  - {id: keys, on: [user, output], when: {creds: {count: {gte: 1}}}, do: {redact: {as: "[{label}]"}}}
  - {id: trial, mode: shadow, on: [output], when: {harm: {only: [S6]}}, do: {block: {code: unsafe}}}
  - {id: pass, on: [system, user, history, tool_result, output], do: allow}
tests:
"""


async def differences(case: str) -> tuple[str, ...]:
    policy = parse_policy(f"{SMALL}  - {case}\n".encode(), "p")
    (result,) = [await Rehearsal(policy).run(case) for case in policy.cases]
    assert result.passed is not bool(result.differences)
    return result.differences


PASSING = [
    "{name: n, send: {messages: [{user: hi}]}, expect: {action: allow, rules: [pass], status: 200, upstream_calls: 1}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {inject: {score: 0.5}}, "
    "expect: {action: block, rule: attack, code: prompt_attack, status: 400, upstream_calls: 0}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {inject: {score: 0.499999}}, expect: {action: allow}}",
    "{name: n, send: {messages: [{user: hi}, {tool: hi}]}, fake: {inject: {tool_result: {score: 1}}}, "
    "expect: {action: block, rules: [attack]}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {harm: {user: {unsafe: [S9]}}}, "
    "expect: {action: block, rules: [lab]}}",
    "{name: n, send: {app: lab, messages: [{user: hi}]}, fake: {harm: {user: {unsafe: [S9]}}}, "
    "expect: {action: allow, rules: [pass]}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {harm: {output: {unsafe: [S1]}}}, "
    "expect: {action: block, rules: [harm-out], status: 200, upstream_calls: 1, client_never_sees: plain}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {harm: {output: {unsafe: [S6], score: 0.1}}}, "
    "expect: {action: allow, shadow: [trial], client_never_sees: other}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {harm: {output: {error: timeout}}}, "
    "expect: {action: block, code: guard_unavailable, status: 503, client_never_sees: plain}}",
    "{name: n, send: {messages: [{user: hi}]}, fake: {creds: {error: overload}}, "
    "expect: {action: block, code: guard_unavailable, status: 503, upstream_calls: 0}}",
    "{name: n, send: {messages: [{user: \"password = 'Tr0ub4dor&3x'\"}]}, "
    "expect: {action: redact, rules: [keys], upstream_sees: '[password_assignment]'}}",
    "{name: n, send: {stream: true, messages: [{user: hi}]}, "
    'fake: {upstream: {chunks: ["it is: password = \'Tr0", "ub4dor&3x\' and so on and on"]}}, '
    "expect: {action: redact, rules: [keys], client_never_sees: [Tr0, ub4dor]}}",
    "{name: n, send: {messages: [{user: a}, {user: b}, {user: c}]}, "
    "expect: {action: block, code: limit_messages, status: 400, upstream_calls: 0}}",
    '{name: n, send: {messages: [{user: "\\0"}]}, expect: {action: allow}}',
]


@pytest.mark.parametrize("case", PASSING)
async def test_case_that_is_right_passes(case: str) -> None:
    assert await differences(case) == ()


FAILING = [
    ("{action: block}", "`action` is `allow`, expected `block`"),
    ("{action: allow, rules: []}", "`rules` is `pass`, expected `none`"),
    ("{action: allow, rule: keys}", "`keys` is not among the deciding rules: `pass`"),
    ("{action: allow, status: 400}", "`status` is `200`, expected `400`"),
    ("{action: allow, code: unsafe}", "`code` is `None`, expected `unsafe`"),
    ("{action: allow, upstream_calls: 0}", "`upstream_calls` is `1`, expected `0`"),
    ("{action: allow, shadow: [trial]}", "`shadow` is `none`, expected `trial`"),
    ("{action: allow, client_never_sees: [x, answer]}", "the client saw item 2 of `client_never_sees`"),
    ("{action: allow, upstream_sees: [hi, other]}", "the upstream did not see item 2 of `upstream_sees`"),
]


@pytest.mark.parametrize(("expect", "difference"), FAILING)
async def test_case_that_is_wrong_says_what_is_different(expect: str, difference: str) -> None:
    assert await differences("{name: n, send: {messages: [{user: hi}]}, expect: %s}" % expect) == (difference,)  # noqa: UP031


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.yaml")), ids=lambda file: file.stem)
async def test_policies_of_the_library_pass_their_tests_and_every_rule_decides_in_one(file: Path) -> None:
    policy = load_policy(file)
    results = [await Rehearsal(policy).run(case) for case in policy.cases]
    assert [(result.case.name, result.differences) for result in results if not result.passed] == []
    enforcing = {rule.id for rule in policy.rules if rule.mode is Mode.ENFORCE}
    assert enforcing == set().union(*(result.deciding for result in results))
    tried = {rule for case in policy.cases for rule in case.expect.shadow or ()}
    assert {rule.id for rule in policy.rules} - enforcing == tried


PICTURES = """
gatehouse: policy/v1
name: pictures
version: '1'
defaults: {limits: {images: 1}}
detectors: {harm: {use: llama_guard_4, threshold: 0.5}}
rules:
  - {id: seen, on: [image], when: {harm: {unsafe: true}}, do: {block: {code: unsafe_picture}}}
  - {id: pass, on: [user, output], do: allow}
tests:
  - name: a bad one
    send: {messages: [{user: look}, {image: something bad}]}
    fake: {harm: {image: {unsafe: [S1]}}}
    expect: {action: block, rules: [seen], code: unsafe_picture, upstream_calls: 0}
  - name: a good one
    send: {messages: [{image: a street}]}
    expect: {action: allow, rules: [pass], upstream_sees: data:image/png, audit_never_holds: data:image/png}
  - name: two are too many
    send: {messages: [{image: a street}, {image: a street}]}
    expect: {action: block, code: limit_images, upstream_calls: 0}
"""


async def test_cases_show_pictures() -> None:
    policy = parse_policy(PICTURES.encode(), "p")
    assert [(await Rehearsal(policy).run(case)).differences for case in policy.cases] == [(), (), ()]


async def test_a_weakened_policy_fails_its_tests() -> None:
    """Each rule of the default policy taken away, or its threshold moved: some test notices."""
    text = (LIBRARY / "default.yaml").read_text().replace("min: 128 characters", "min: 8 characters")
    for pattern, weaker in (
        (r"(use: starter_injection\n    threshold: )[0-9.]+", r"\g<1>0.999"),
        (r"(id: injection-retrieved[^}]*gte: )[0-9.]+", r"\g<1>0.999"),
        (r"(id: harm-out[^\n]*\n    on: \[)output, ", r"\1"),
        (r"find: \[tags, bidi\]", "find: [bidi]"),
        (r"(id: secrets-out[^\n]*\n    on: \[)output, ", r"\1"),
    ):
        changed, count = re.subn(pattern, weaker, text)
        assert count == 1, pattern
        policy = parse_policy(changed.encode(), "p")
        results = [await Rehearsal(policy).run(case) for case in policy.cases]
        assert any(not result.passed for result in results), weaker


async def test_texts_of_a_case_are_not_repeated() -> None:
    found = await differences(
        "{name: n, send: {messages: [{user: sekrit}]}, fake: {upstream: {text: sekrit}}, "
        "expect: {action: block, client_never_sees: sekrit, upstream_sees: sekrit2}}"
    )
    assert len(found) == 3
    assert "sekrit" not in str(found)


async def test_hundred_cases_take_well_under_a_few_seconds_of_computing() -> None:
    policy = load_policy(LIBRARY / "default.yaml")
    rehearsal = Rehearsal(policy)
    started = time.process_time()
    for _ in range(5):
        for case in policy.cases:
            await rehearsal.run(case)
    assert time.process_time() - started < 5


BANK = load_policy(Path(__file__).parent / "rehearsals" / "bank.yaml")


@pytest.mark.parametrize("case", BANK.cases, ids=lambda case: case.name)
async def test_what_the_language_has_for_a_bank(case: Case) -> None:
    assert (await Rehearsal(BANK).run(case)).differences == ()


async def test_a_case_notices_what_is_kept_that_must_not_be() -> None:
    text = (Path(__file__).parent / "rehearsals" / "bank.yaml").read_text().replace(", before_audit: true", "")
    policy = parse_policy(text.encode(), "p")
    [case] = [case for case in policy.cases if case.expect.audit_never_holds]
    assert (await Rehearsal(policy).run(case)).differences == ("the audit holds item 1 of `audit_never_holds`",)


ROUTED = load_policy(Path(__file__).parent / "rehearsals" / "routed.yaml")


@pytest.mark.parametrize("case", ROUTED.cases, ids=lambda case: case.name)
async def test_what_is_sent_elsewhere_is_decided_for_where_it_goes(case: Case) -> None:
    assert (await Rehearsal(ROUTED).run(case)).differences == ()


LOOSENED = [load_policy(Path(__file__).parent / "rehearsals" / f"{name}.yaml") for name in ("asked", "afterwards")]


@pytest.mark.parametrize(("policy", "case"), [(one, case) for one in LOOSENED for case in one.cases])
async def test_what_a_policy_loosens_comes_out_as_it_says(policy: Policy, case: Case) -> None:
    assert (await Rehearsal(policy).run(case)).differences == ()


async def test_each_of_these_cases_can_fail() -> None:
    """With the opposite of what it loosens, some case of each notices."""
    folder = Path(__file__).parent / "rehearsals"
    for name, said, other in (
        ("asked", "on_timeout: allow, accept_risk: {by: ciso, ticket: RISK-4, until: 2026-12-31}", "on_timeout: block"),
        ("asked", ", dialect: openai_refusal", ""),
        ("asked", ", on_error: review", ""),
        ("asked", "sinks: {require: 2}", "sinks: {require: 1}"),
        ("afterwards", "mode: shadow_only", "mode: buffer"),
    ):
        text = (folder / f"{name}.yaml").read_text()
        assert said in text
        policy = parse_policy(text.replace(said, other).encode(), "p")
        found = [await Rehearsal(policy).run(case) for case in policy.cases]
        assert any(not one.passed for one in found), said
