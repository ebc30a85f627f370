"""Whatever goes on more easily without a verdict, a vote or a rule is weaker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.changes import About, Effect
from policies.diff import diff
from policies.diff_reviews import diff_on_error, diff_reviews, diff_uncovered
from policies.model import Review, Risk
from tests.policies.build import policy_of

ABOUT = About("rule", "r")
EARLY, LATE = Risk("ciso", "R-1", 100), Risk("ciso", "R-1", 200)
REVIEW = Review("q", 2, "", 60_000, True)
CLOSED, ASKED, OPEN, NOTHING = ("closed", None, None), ("review", None, REVIEW), ("open", EARLY, None), ("", None, None)


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (CLOSED, ASKED, Effect.WEAKER),
        (CLOSED, OPEN, Effect.WEAKER),
        (ASKED, OPEN, Effect.WEAKER),
        (ASKED, CLOSED, Effect.STRONGER),
        (OPEN, ASKED, Effect.STRONGER),
        (OPEN, ("open", LATE, None), Effect.WEAKER),
        (OPEN, ("open", replace(EARLY, by="cto"), None), Effect.OTHER),
        (NOTHING, ASKED, Effect.WEAKER),
        (ASKED, NOTHING, Effect.WEAKER),
        (CLOSED, NOTHING, Effect.WEAKER),
        (ASKED, ("review", None, replace(REVIEW, quorum=1)), Effect.WEAKER),
    ],
)
def test_what_follows_from_a_missing_verdict(before: tuple, after: tuple, effect: Effect) -> None:  # type: ignore[type-arg]
    assert [one.effect for one in diff_on_error(ABOUT, before, after)] == [effect]
    assert diff_on_error(ABOUT, before, before) == []


@pytest.mark.parametrize(
    ("edited", "aspect", "effect"),
    [
        (replace(REVIEW, quorum=1), "quorum", Effect.WEAKER),
        (replace(REVIEW, distinct=False), "distinct_from", Effect.WEAKER),
        (replace(REVIEW, risk=EARLY), "on_timeout", Effect.WEAKER),
        (replace(REVIEW, queue="other"), "review queue", Effect.OTHER),
        (replace(REVIEW, timeout_ms=1_000), "timeout", Effect.OTHER),
    ],
)
def test_who_has_to_approve(edited: Review, aspect: str, effect: Effect) -> None:
    assert [(one.aspect, one.effect) for one in diff_reviews(ABOUT, REVIEW, edited)] == [(aspect, effect)]
    back = diff_reviews(ABOUT, edited, REVIEW)
    assert [(one.aspect, one.effect) for one in back] == [(aspect, effect.turned)]


def test_less_time_is_weaker_where_it_ends_in_a_pass() -> None:
    passes = replace(REVIEW, risk=EARLY)
    hurried = replace(passes, timeout_ms=1_000)
    assert [one.effect for one in diff_reviews(ABOUT, passes, hurried)] == [Effect.WEAKER]


def test_parts_that_no_rule_looks_at() -> None:
    assert [one.effect for one in diff_uncovered(None, EARLY)] == [Effect.WEAKER]
    assert [one.effect for one in diff_uncovered(EARLY, LATE)] == [Effect.WEAKER]
    assert [one.effect for one in diff_uncovered(LATE, None)] == [Effect.STRONGER]
    assert diff_uncovered(EARLY, EARLY) == []


def test_each_of_them_weakens_the_policy() -> None:
    risk = "accept_risk: {by: b, ticket: T, until: 2026-12-31}"
    rule = "- {id: r, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: x}}%s}"
    before = policy_of(rule % "")
    after = [
        policy_of(rule % "", defaults=f"defaults: {{uncovered: allow, {risk}}}\n"),
        policy_of(rule % "", defaults="defaults: {on_error: review}\n"),
        policy_of(rule % "", defaults="defaults: {stream: {mode: shadow_only}}\n"),
        policy_of(rule % ", on_error: review"),
    ]
    assert [diff(before, one).is_weaker for one in after] == [True] * 4
    assert [diff(one, before).is_weaker for one in after[:3]] == [False] * 3
