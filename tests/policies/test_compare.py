"""A proof that one condition holds wherever another does is never wrong."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.verdict import PPM, Span, Verdict
from policies.compare import NEVER, coverage, covers, region, under
from policies.matchers import ALWAYS, All, Any, AnyCategory, Count, Fact, Matcher, Not, OnlyCategories, Score, combined
from policies.read_matchers import MANY
from tests.policies.build import DETECTORS, facts, policy_of

LEVELS = (0, 200_000, 500_000, 900_000, PPM)
thresholds = st.dictionaries(st.sampled_from(("S1", "S2", "S9")), st.sampled_from(LEVELS[1:]), min_size=1).map(
    MappingProxyType
)
labels = st.frozensets(st.sampled_from(("jwt", "key")), max_size=2)
leaves = st.one_of(
    st.builds(
        lambda low, high: Score("a", min(low, high), max(low, high)), st.sampled_from(LEVELS), st.sampled_from(LEVELS)
    ),
    st.builds(AnyCategory, st.just("a"), thresholds),
    st.builds(
        OnlyCategories,
        st.just("a"),
        st.frozensets(st.sampled_from(("S1", "S9")), min_size=1),
        thresholds,
        st.sampled_from(LEVELS[1:]),
    ),
    st.builds(Count, st.just("b"), labels, st.sampled_from((0, 1, 2)), st.sampled_from((2, 3, MANY))),
    st.builds(Fact, st.just("tenant"), st.frozensets(st.sampled_from(("t", "u")), min_size=1)),
)
matchers = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda some: combined(All, some), st.lists(inner, max_size=3)),
        st.builds(lambda some: combined(Any, some), st.lists(inner, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)
scores = st.sampled_from((0, 100_000, 200_000, 499_999, 500_000, 900_000, PPM))
verdicts = st.fixed_dictionaries(
    {},
    optional={
        "a": st.builds(
            lambda score, found: Verdict(score, tuple(sorted(found.items()))),
            scores,
            st.dictionaries(st.sampled_from(("S1", "S2", "S3", "S9")), scores),
        ),
        "b": st.lists(st.sampled_from(("jwt", "key", "other")), max_size=4).map(
            lambda found: Verdict(0, spans=tuple(Span(at, at + 1, label) for at, label in enumerate(found)))
        ),
    },
)


def rank(held: bool | None) -> int:
    return {False: 0, None: 1, True: 2}[held]


@given(wide=matchers, narrow=matchers, said=st.lists(verdicts, min_size=1, max_size=20), tenant=st.sampled_from("tuv"))
@settings(max_examples=500, deadline=None)
def test_a_proof_is_never_wrong(wide: Matcher, narrow: Matcher, said: list[dict[str, Verdict]], tenant: str) -> None:
    """Also while a detector gives no verdict: unknown is more than no and less than yes."""
    if covers(wide, narrow):
        who = facts(tenant=tenant)
        assert all(rank(narrow.holds(one, who)) <= rank(wide.holds(one, who)) for one in said)


@given(matchers)
def test_a_condition_covers_itself_and_never_and_always_are_the_ends(matcher: Matcher) -> None:
    assert covers(matcher, matcher)
    assert covers(ALWAYS, matcher)
    assert covers(matcher, NEVER)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (Score("a", 1, PPM), Score("a", 2, PPM)),
        (Any((Score("a", 5, PPM), Count("b", frozenset(), 1, MANY))), Score("a", 6, PPM)),
        (Score("a", 5, PPM), All((Score("a", 5, PPM), Fact("tenant", frozenset("t"))))),
        (Not(Score("a", 5, PPM)), Not(Score("a", 4, PPM))),
        (Count("b", frozenset(), 1, MANY), Count("b", frozenset(("jwt",)), 1, MANY)),
        (AnyCategory("a", {"S1": 5, "S9": 5}), OnlyCategories("a", frozenset(("S1",)), {"S1": 6}, 7)),
    ],
)
def test_wider_is_told_from_narrower(wide: Matcher, narrow: Matcher) -> None:
    assert covers(wide, narrow)
    assert not covers(narrow, wide)


RULES = """
- {id: own, on: [user], when: {inject: {unsafe: true}}, unless: {harm: {only: [S6]}}, do: {block: {code: x}}}
- {id: clinic, on: [output], when: {tenant: clinic, inject: {unsafe: true}}, do: {block: {code: x}}}
- {id: pass, on: [system], do: allow}
"""


def test_thresholds_that_move_move_what_asks_for_them() -> None:
    policy = policy_of(RULES)
    moved = policy_of(
        RULES,
        detectors=DETECTORS.replace("starter_injection, threshold: 0.5", "starter_injection, threshold: 0.7"),
        watch=True,
    )
    before, after = policy.detectors["inject"], moved.detectors["inject"]
    was, now = ({rule.id: rule for rule in one.rules} for one in (policy, moved))
    assert under(region(was["own"]), before, after) == region(now["own"])
    assert covers(region(was["own"]), region(now["own"]))
    assert not covers(region(now["own"]), region(was["own"]))


def test_coverage_is_what_facts_leave_of_the_rules() -> None:
    rules = {rule.id: rule for rule in policy_of(RULES).rules}
    assert covers(coverage([rules["own"]]), ALWAYS)
    assert coverage([rules["clinic"]]) == Fact("tenant", frozenset(("clinic",)))
    assert coverage([rules["pass"]]) == ALWAYS
    assert coverage([]) == NEVER


def _nested(depth: int, least: int) -> Matcher:
    matcher: Matcher = Score("a", least, PPM)
    for level in range(depth):
        kind = Any if level % 2 else All
        matcher = kind((Score("a", least + level, PPM), matcher, Score("b", least + level, PPM)))
    return matcher


def test_deep_nesting_is_compared_in_no_time() -> None:
    """As deep as a file may nest. By every way down each of the two, this would not end."""
    low, high = _nested(30, 5), _nested(30, 5_000)
    assert covers(low, high)
    assert not covers(high, low)
