"""What a test fakes besides the scores of models: people and their time, the clock, places, the log."""

from __future__ import annotations

import pytest

from policies.fakes import Faked
from tests.policies.build import policy_of, problems_of

PASS = "- {id: pass, on: [user], do: allow}"
TEST = "- {name: n, send: {messages: [{user: u}]}, fake: %s, expect: {action: allow}}"


def faked(said: str) -> Faked:
    (case,) = policy_of(PASS, tests=TEST % said).cases
    return case.faked


def test_people_vote_and_their_time_passes() -> None:
    assert faked("{reviews: timeout}") == Faked(time_is_up=True)
    voted = faked("{reviews: [{by: u1, vote: approve}, {by: u2, vote: deny}, timeout]}")
    assert (voted.votes, voted.time_is_up) == ((("u1", True), ("u2", False)), True)
    assert not faked("{reviews: [{by: u1, vote: approve}]}").time_is_up


def test_places_are_named_by_their_text() -> None:
    (one,) = faked('{creds: {output: {spans: [{text: "abc", entity: jwt}]}}}').fakes
    assert (one.detector, one.scope, one.spans) == ("creds", "output", (("abc", "jwt"),))
    assert "abc" not in repr(one)


def test_the_log_has_so_many_places_and_it_is_such_a_day() -> None:
    assert faked("{audit: {sinks_up: 0}}").sinks_up == 0
    assert faked("{clock: 1971-01-01}").at == 365 * 86_400 + 12 * 3_600


def test_places_that_rules_send_to_have_a_class() -> None:
    said = faked("{upstream: {class: ward, classes: {big: external, cloud: partner}}}").upstream
    assert (said.class_, said.classes) == ("ward", (("big", "external"), ("cloud", "partner")))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{reviews: never}", "`reviews` is `never`, expected `timeout`"),
        ("{reviews: [timeout, {by: u1, vote: approve}]}", "item of `reviews` is `timeout`, expected a mapping"),
        ("{inject: {spans: [{text: a, entity: b}]}}", "`inject` finds no places in a text"),
        ("{creds: {spans: [{text: a, entity: jw}]}}", "did you mean `jwt`?"),
        ("{creds: {spans: [{text: a}]}}", "item of `spans` has no `entity`"),
        ("{creds: {spans: [{text: a, entity: jwt}], error: timeout}}", "`spans` stand alone"),
        ("{audit: {sinks_up: 2, sinks: 1}}", "unknown key `sinks` in `audit`"),
        ("{upstream: {classes: external}}", "`classes` is `external`, expected a mapping"),
        ("{audit: 1}", "`audit` is `1`, expected a mapping"),
    ],
)
def test_what_is_wrong_is_told(said: str, problem: str) -> None:
    assert any(problem in one for one in problems_of(PASS, tests=TEST % said))
