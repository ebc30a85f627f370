"""Votes: different people, as many as the strictest rule wants, and never the one who asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.ballots import Ballot, State
from policies.model import Review


def review(quorum: int = 1, distinct: bool = False) -> Review:
    return Review("q", quorum, "request", 1_000, distinct)


def test_the_strictest_of_several_rules_counts() -> None:
    ballot = Ballot.of([review(1), review(2, distinct=True)], ["u1", ""])
    assert (ballot.quorum, ballot.requesters) == (2, {"u1"})
    assert Ballot.of([review()], ["u1"]).requesters == frozenset()


def test_payment_waits_for_two_other_people() -> None:
    ballot = Ballot.of([review(2, distinct=True)], ["u1"])
    assert not ballot.cast("u1", True)
    assert ballot.cast("u2", True)
    assert (ballot.state, ballot.because) == (State.PENDING, "u1 is the requester; 1 of 2")
    assert not ballot.cast("u2", True), "one person has one vote"
    assert ballot.cast("u3", True)
    assert ballot.state is State.APPROVED
    assert not ballot.cast("u4", False), "it is decided"


def test_one_who_denies_ends_it() -> None:
    ballot = Ballot(2)
    ballot.cast("u1", True)
    assert ballot.cast("u2", False)
    assert (ballot.state, ballot.because) == (State.DENIED, "u2 denied")


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=12))
def test_nothing_is_approved_without_enough_different_others(quorum: int, votes: list[tuple[str, bool]]) -> None:
    ballot = Ballot.of([review(quorum, distinct=True)], ["a"])
    for name, approve in votes:
        ballot.cast(name, approve)
    assert len(set(ballot.approved_by)) == len(ballot.approved_by) <= quorum
    assert "a" not in ballot.approved_by
    assert (ballot.state is State.APPROVED) == (len(ballot.approved_by) == quorum and not ballot.denied_by)
