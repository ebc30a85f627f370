"""Conditions: what can never match, or asks what a guard does not tell, does not load."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from policies.matchers import All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score
from tests.policies.build import policy_of, problems_of


def when(condition: str) -> Matcher:
    rules = policy_of(f"- {{id: r, on: [user], when: {condition}, do: flag}}").rules
    return next(rule.when for rule in rules if rule.id == "r")


def problem(condition: str, scope: str = "user") -> str:
    problems = problems_of(f"- {{id: r, on: [{scope}], when: {condition}, do: flag}}")
    assert len(problems) == 1
    return problems[0]


MANY = 1_000_000_000


def spoken(condition: str) -> Matcher:
    rules = f"- {{id: r, on: [user], when: {condition}, do: flag}}"
    return policy_of(rules, detectors="spoken: {use: language}").rules[0].when


def test_what_a_text_is_named_as_is_in_a_list_or_is_something_else() -> None:
    named, other = spoken("{spoken: {in: [en, es]}}"), spoken("{spoken: {not_in: [en, es]}}")
    assert isinstance(named, AnyCategory)
    assert dict(named.thresholds) == {"en": 1_000_000, "es": 1_000_000}
    assert other == Not(OnlyCategories("spoken", frozenset({"en", "es"}), MappingProxyType({}), 1_000_000))


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("{spoken: {in: [xx]}}", "item of `in` is `xx`, expected one of"),
        ("{spoken: {unsafe: true}}", "`unsafe` asks `spoken`, but `language` does not give a score"),
        ("{spoken: {score: {gte: 1}}}", "`score` asks `spoken`, but `language` does not give a score"),
        ("{spoken: {count: {gte: 1}}}", "`count` asks `spoken`, but `language` does not find places in a text"),
    ],
)
def test_what_a_guard_that_names_cannot_be_asked(condition: str, told: str) -> None:
    rules = f"- {{id: r, on: [user], when: {condition}, do: flag}}"
    [found] = problems_of(rules, detectors="spoken: {use: language}")
    assert told in found


def test_only_a_guard_that_names_can_be_asked_for_a_list() -> None:
    assert problem("{inject: {in: [x]}}") == "`in` asks `inject`, but `starter_injection` does not name what a text is"


@pytest.mark.parametrize(
    ("condition", "matcher"),
    [
        ("{inject: {score: {gte: 0.25}}}", Score("inject", 250_000, 1_000_000)),
        ("{inject: {score: {gt: 0.25}}}", Score("inject", 250_001, 1_000_000)),
        ("{inject: {score: {lt: 0.25}}}", Score("inject", 0, 249_999)),
        ("{inject: {score: {gte: 0.25, lte: 0.5}}}", Score("inject", 250_000, 500_000)),
        ("{inject: {unsafe: true}}", Score("inject", 500_000, 1_000_000)),
        ("{inject: {unsafe: false}}", Score("inject", 0, 499_999)),
        ("{hidden: {unsafe: true}}", Score("hidden", 1_000_000, 1_000_000)),
        ("{hidden: {count: {gt: 1}}}", Count("hidden", frozenset(), 2, MANY)),
        ("{hidden: {count: {lt: 1}}}", Count("hidden", frozenset(), 0, 0)),
        ("{hidden: {entity: tags}}", Count("hidden", frozenset({"tags"}), 1, MANY)),
        ("{app: x}", Fact("app", frozenset({"x"}))),
        ("{not: {app: [x, y]}}", Not(Fact("app", frozenset({"x", "y"})))),
    ],
)
def test_conditions_are_compiled_to_integer_bounds(condition: str, matcher: Matcher) -> None:
    assert when(condition) == matcher


def test_category_takes_its_own_threshold_or_the_detectors() -> None:
    matcher = when("{harm: {category: [S9, S1]}}")
    assert isinstance(matcher, AnyCategory)
    assert dict(matcher.thresholds) == {"S1": 500_000, "S9": 200_000}
    only = when("{harm: {only: [S6]}}")
    assert isinstance(only, OnlyCategories)
    assert (only.allowed, dict(only.thresholds), only.default) == ({"S6"}, {"S9": 200_000}, 500_000)


def test_keys_of_one_condition_must_all_hold_and_any_is_the_only_or() -> None:
    both = when("{inject: {score: {gte: 0.1}}, app: x}")
    assert isinstance(both, All)
    assert len(both.children) == 2
    assert isinstance(when("{any: [{app: x}, {tenant: y}]}"), Any)
    assert isinstance(when("{all: [{app: x}, {tenant: y}]}"), All)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("{inject: {score: {gte: 1.5}}}", "`gte` is `1.5`, expected a number 0 to 1"),
        ("{inject: {score: {gte: 0.5, lt: 0.5}}}", "`score` can never match"),
        ("{inject: {score: {gt: 1}}}", "`score` can never match"),
        ("{inject: {score: {}}}", "`score` has no bound, or always matches"),
        ("{inject: {score: {gte: 0}}}", "`score` has no bound, or always matches"),
        ("{inject: {score: 0.5}}", "`score` is `0.5`, expected a mapping"),
        ("{inject: {score: {gte: '0.5'}}}", "`gte` is `0.5`, expected a number 0 to 1"),
        (
            "{inject: {count: {gte: 1}}}",
            "`count` asks `inject`, but `starter_injection` does not find places in a text",
        ),
        ("{inject: {category: [S1]}}", "`category` asks `inject`, but `starter_injection` does not name categories"),
        ("{harm: {only: []}}", "`only` is an empty list, expected at least 1 in it"),
        ("{harm: {only: [S0]}}", "item of `only` is `S0`, expected one of `S1`"),
        ("{harm: {only: S6}}", "`only` is `S6`, expected a list"),
        ("{creds: {entity: aws_key}}", "`entity` is `aws_key`, expected one of `jwt`"),
        ("{hidden: {count: {gte: -1}}}", "`gte` is `-1`, expected a whole number 0 to 1000000000"),
        ("{hidden: {count: {gte: 1.0}}}", "`gte` is `1.0`, expected a whole number 0 to 1000000000"),
        ("{inject: {}}", "`inject` is empty, expected at least one condition"),
        ("{}", "`when` is empty, expected at least one condition"),
        ("{any: []}", "`any` is an empty list, expected a list of conditions"),
        ("{any: {app: x}}", "`any` is a mapping, expected a list of conditions"),
        ("{not: [{app: x}]}", "`not` is a list, expected a mapping"),
        ("{app: []}", "`app` is an empty list, expected at least 1 in it"),
        ("{app: {not_in: []}}", "`app` is an empty list, expected at least 1 in it"),
        ("{app: {in: [x], not_in: [y]}}", "`app` needs exactly one of `in`, `not_in`"),
        ("{app: {}}", "`app` needs exactly one of `in`, `not_in`"),
        ("{app: {class: x}}", "unknown key `class` in `app`"),
        ("{upstream: {clas: external}}", "unknown key `clas` in `upstream` (did you mean `class`?)"),
        ("{tool_context: trusted}", "`tool_context` is `trusted`, expected one of `none`, `untrusted`"),
        ("{tool: [search]}", "`tool` is not known on `user` (it is on `tool_call` and `tool_result`)"),
        ("{injct: {unsafe: true}}", "unknown detector or fact `injct` (did you mean `inject`?)"),
        ("[]", "`when` is a list, expected a mapping"),
    ],
)
def test_condition_that_says_nothing_is_refused(condition: str, found: str) -> None:
    assert problem(condition).startswith(found)


def test_text_detector_on_images_is_refused() -> None:
    assert problem("{inject: {unsafe: true}}", "image") == "`inject` (starter_injection) cannot judge scope `image`"


def test_threshold_that_nobody_wrote_is_asked_for() -> None:
    problems = problems_of(
        "- {id: r, on: [user], when: {d: {unsafe: true}}, do: flag}", detectors="d: {use: starter_injection}"
    )
    assert problems == ["`unsafe` needs a `threshold` in detector `d`"]


def test_a_score_beside_categories_is_their_threshold() -> None:
    (rule, _) = policy_of(
        "- {id: a, on: [user], when: {harm: {score: {gte: 0.3}, category: [S9, S4]}}, do: flag}", defaults=""
    ).rules
    assert rule.when == AnyCategory("harm", {"S4": 300_000, "S9": 300_000})
    told = problems_of("- {id: a, on: [user], when: {harm: {score: {lt: 0.3}, category: [S9]}}, do: flag}")
    assert any("`score` beside `category` is the threshold of these categories" in one for one in told)
