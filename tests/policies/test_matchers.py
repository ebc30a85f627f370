"""Conditions have three answers, and "I do not know" never becomes "no"."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from guards.verdict import Span, Verdict
from policies.matchers import (
    ALWAYS,
    All,
    Any,
    AnyCategory,
    Count,
    Fact,
    Matcher,
    Not,
    OnlyCategories,
    Score,
    canonical,
    combined,
)
from policies.model import Facts

FACTS = Facts((), "t", "a", "m")


@dataclass(frozen=True)
class Answer:
    """A condition that gives the answer it was made with."""

    value: bool | None

    def holds(self, verdicts, facts):
        return self.value

    def spans(self, verdicts, facts):
        return iter([Span(0, 1, str(self.value))])

    def detectors(self):
        return frozenset({"d"})

    def asks_facts(self):
        return False

    def form(self):
        return str(self.value)


def holds(matcher: Matcher, **verdicts: Verdict) -> bool | None:
    return matcher.holds(verdicts, FACTS)


@pytest.mark.parametrize("answers", list(itertools.product([True, False, None], repeat=3)))
def test_all_any_and_not_are_kleene_logic(answers: tuple[bool | None, ...]) -> None:
    children = tuple(Answer(answer) for answer in answers)
    expected_all = False if False in answers else None if None in answers else True
    expected_any = True if True in answers else None if None in answers else False
    assert holds(All(children)) is expected_all
    assert holds(Any(children)) is expected_any
    assert holds(Not(All(children))) is (None if expected_all is None else not expected_all)


@pytest.mark.parametrize(
    "matcher",
    [
        Score("d", 0, 1),
        AnyCategory("d", {"S1": 1}),
        OnlyCategories("d", frozenset({"S1"}), {}, 1),
        Count("d", frozenset(), 0, 9),
    ],
)
def test_condition_without_its_verdict_is_unknown(matcher: Matcher) -> None:
    assert holds(matcher) is None
    assert holds(Not(matcher)) is None
    assert list(matcher.spans({}, FACTS)) == []


def test_rule_without_conditions_always_holds() -> None:
    assert holds(ALWAYS) is True


def test_score_bounds_are_inclusive() -> None:
    assert [holds(Score("d", 5, 7), d=Verdict(score)) for score in (4, 5, 7, 8)] == [False, True, True, False]


def test_category_has_its_own_threshold() -> None:
    matcher = AnyCategory("d", {"S1": 500, "S9": 200})
    assert holds(matcher, d=Verdict(0, (("S1", 499), ("S9", 199)))) is False
    assert holds(matcher, d=Verdict(0, (("S1", 499), ("S9", 200)))) is True
    assert holds(matcher, d=Verdict(1_000_000, (("S2", 1_000_000),))) is False


def test_only_needs_something_flagged_and_nothing_else_flagged() -> None:
    matcher = OnlyCategories("d", frozenset({"S6"}), {"S6": 100}, 500)
    assert holds(matcher, d=Verdict(1_000_000)) is False
    assert holds(matcher, d=Verdict(0, (("S6", 100),))) is True
    assert holds(matcher, d=Verdict(0, (("S1", 499), ("S6", 100)))) is True
    assert holds(matcher, d=Verdict(0, (("S1", 500), ("S6", 100)))) is False


def test_count_counts_the_named_labels_or_all() -> None:
    verdict = Verdict(1_000_000, spans=(Span(0, 1, "a"), Span(1, 2, "b"), Span(2, 3, "b")))
    assert holds(Count("d", frozenset(), 3, 3), d=verdict) is True
    assert holds(Count("d", frozenset({"b"}), 2, 2), d=verdict) is True
    assert holds(Count("d", frozenset({"a"}), 2, 9), d=verdict) is False
    assert list(Count("d", frozenset({"b"}), 1, 9).spans({"d": verdict}, FACTS)) == list(verdict.spans[1:])


def test_spans_come_from_what_made_it_hold() -> None:
    assert [span.label for span in Any((Answer(False), Answer(True))).spans({}, FACTS)] == ["True"]
    assert list(Not(Answer(False)).spans({}, FACTS)) == []


def test_facts_are_compared_whole() -> None:
    assert holds(Fact("app", frozenset({"a", "b"}))) is True
    assert holds(Fact("tenant", frozenset({"tt"}))) is False
    assert All((Score("d", 0, 1), Not(Fact("app", frozenset({"a"}))))).asks_facts()
    assert not Any((Score("d", 0, 1),)).asks_facts()


def test_combination_is_flat_sorted_and_without_repeats() -> None:
    one, two, three = Score("a", 1, 2), Score("b", 1, 2), Fact("app", frozenset({"x"}))
    left = combined(All, [one, combined(All, [two, three])])
    right = combined(All, [three, one, two, one])
    assert canonical(left.form()) == canonical(right.form())
    assert combined(Any, [one, one]) is one
    assert left.detectors() == {"a", "b"}
