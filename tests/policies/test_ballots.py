"""Votes: different people, as many as the strictest rule wants, and never the one who asked."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.ballots import Ballot, State, at_its_end, waived
from policies.model import Action, Decision, Flag, Review, Risk


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


def test_each_queue_needs_its_own_people() -> None:
    members = {"payments": {"ann", "bob"}, "legal": {"bob", "lea"}}
    wanted = [Review("payments", 2, "request", 1_000, False), Review("legal", 1, "request", 1_000, False)]
    ballot = Ballot.of(wanted, [], lambda queue: members[queue])
    assert not ballot.cast("eve", True)
    assert ballot.because == "eve is no reviewer of legal, payments; legal 0 of 1, payments 0 of 2"
    assert ballot.cast("ann", True)
    assert ballot.cast("lea", True)
    assert ballot.state is State.PENDING, "lea is none of payments"
    assert ballot.cast("bob", True)
    assert ballot.state is State.APPROVED


def test_when_the_time_is_up_it_goes_on_only_if_that_is_accepted_everywhere() -> None:
    passes = replace(review(), risk=Risk("ciso", "R-1", 100))
    assert at_its_end([passes], 99) is State.WAIVED
    assert at_its_end([passes], 100) is State.EXPIRED
    assert at_its_end([passes, review()], 99) is State.EXPIRED
    went_on = waived(Decision(Action.REVIEW, ("r",), reviews=(("r", passes),)))
    assert went_on.opened == (("r", "R-1"),)
    assert went_on.flags == (Flag("r", "accepted-risk", "high"),)
