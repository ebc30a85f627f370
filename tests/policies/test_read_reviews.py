"""Who is asked and who accepts: read whole, or refused at its place."""

from __future__ import annotations

import pytest

from policies.model import Review, Risk
from tests.policies.build import policy_of, problems_of

RISK = "accept_risk: {by: ciso, ticket: RISK-1, until: 2026-12-31}"
ACCEPTED = Risk("ciso", "RISK-1", 1798761600)


def rule(more: str, do: str = "{block: {code: x}}", on: str = "user") -> str:
    return f"- {{id: r, on: [{on}], when: {{inject: {{unsafe: true}}}}, do: {do}{more}}}"


def test_people_are_asked_under_a_name_of_their_own_or_as_the_file_says() -> None:
    usual = policy_of(rule(", on_error: review")).rules[0]
    assert (usual.on_error, usual.people) == ("review", Review("no-verdict", 1, "", 900_000, True))
    said = policy_of(rule(", on_error: {review: {queue: duty, quorum: 2, timeout: 5m}}")).rules[0]
    assert (said.on_error, said.people) == ("review", Review("duty", 2, "", 300_000, False))


def test_an_answer_that_people_may_look_at_leaves_whole() -> None:
    window = "defaults: {stream: {mode: window, window: 64 tokens}}\n"
    assert policy_of(rule(", on_error: review", on="output"), defaults=window).rules[0].buffers
    assert not policy_of(rule("", on="output"), defaults=window).rules[0].buffers
    by_default = window.replace("{stream", "{on_error: review, stream")
    assert policy_of(rule("", on="output"), defaults=by_default).rules[0].buffers
    assert not policy_of(rule(", on_error: closed", on="output"), defaults=by_default).rules[0].buffers


def test_what_nobody_decides_goes_on_only_if_that_is_accepted() -> None:
    do = f"{{review: {{queue: q, hold: request, on_timeout: allow, {RISK}}}}}"
    review = policy_of(rule("", do)).rules[0].do.review
    assert review is not None
    assert review.risk == ACCEPTED


def test_parts_that_no_rule_looks_at_pass_only_if_that_is_accepted() -> None:
    assert policy_of(rule(""), defaults=f"defaults: {{uncovered: allow, {RISK}}}\n").uncovered == ACCEPTED
    assert policy_of(rule(""), defaults="defaults: {uncovered: deny}\n").uncovered is None
    both = policy_of(rule(""), defaults=f"defaults: {{uncovered: allow, on_error: open, {RISK}}}\n")
    assert (both.uncovered, both.risk) == (ACCEPTED, ACCEPTED)


HINT = " (`{by: …, ticket: …, until: 2026-12-31}`)"


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        ("{uncovered: allow}", "`uncovered: allow` needs `accept_risk` beside it" + HINT),
        ("{on_error: open}", "`on_error: open` needs `accept_risk` beside it" + HINT),
        (f"{{on_error: closed, {RISK}}}", "`accept_risk` needs `on_error: open` beside it"),
        (f"{{on_error: review, {RISK}}}", "`accept_risk` needs `on_error: open` beside it"),
        ("{on_error: {review: {}}}", "`review` has no `queue`"),
        ("{on_error: {reviews: {queue: q}}}", "unknown key `reviews` in `on_error` (did you mean `review`?)"),
        ("{on_error: {review: {queue: q, hold: request}}}", "unknown key `hold` in `review`"),
        ("{on_error: [review]}", "`on_error` is a list, expected one of `closed`, `review`, `open`"),
        ("{uncovered: maybe}", "`uncovered` is `maybe`, expected one of `deny`, `allow`"),
    ],
)
def test_what_is_wrong_is_told(defaults: str, problem: str) -> None:
    assert problem in problems_of(rule(""), defaults=f"defaults: {defaults}\n")


@pytest.mark.parametrize(
    ("review", "problem"),
    [
        ("{queue: q, hold: request, on_timeout: allow}", "`on_timeout: allow` needs `accept_risk` beside it" + HINT),
        (f"{{queue: q, hold: request, {RISK}}}", "`accept_risk` needs `on_timeout: allow` beside it"),
        (
            "{queue: q, hold: request, on_timeout: allow, accept_risk: {by: b}}",
            "`accept_risk` has no `ticket`",
        ),
    ],
)
def test_what_is_wrong_with_a_review_is_told(review: str, problem: str) -> None:
    assert problem in problems_of(rule("", f"{{review: {review}}}"))
