"""An exchange that was admitted has one end in the log, whoever writes it."""

from __future__ import annotations

from gateway.entries import Record
from gateway.unfinished import Unfinished

ADMIT: Record = {"type": "request.admit", "stage": "admit", "req": "a", "tenant": "clinic", "worker": {"number": 1}}
END: Record = {"type": "response.complete", "stage": "complete", "req": "a", "worker": {"number": 1}}


def admitted() -> Unfinished:
    unfinished = Unfinished()
    unfinished.wrote(ADMIT, 7)
    return unfinished


def test_an_end_that_was_refused_is_owed_with_what_may_have_left() -> None:
    unfinished = admitted()
    unfinished.wrote({"type": "response.progress", "req": "a", "stream": {"received": 40, "released": 30}}, 8)
    assert list(unfinished.debts()) == []
    unfinished.refused(END)
    (orphan,) = unfinished.debts()
    stream = {"released_max": 40, "progress_seq": 8, "ended_by": "audit_unavailable"}
    assert (orphan["type"], orphan["req"], orphan["tenant"]) == ("response.orphan", "a", "clinic")
    assert (orphan["worker"], orphan["stream"]) == ({"number": 1}, stream)
    assert unfinished.is_ended_here("a")
    assert list(unfinished.debts()) == [orphan], "until it is written"
    unfinished.wrote(orphan, 9)
    assert list(unfinished.debts()) == []
    assert "a" not in unfinished


def test_a_call_that_can_say_its_end_after_all_owes_nothing() -> None:
    unfinished = admitted()
    unfinished.refused(END)
    unfinished.wrote(END | {"type": "response.abort"}, 8)
    assert list(unfinished.debts()) == []
    assert not unfinished.is_ended_here("a")


def test_what_did_not_begin_or_does_not_end_owes_nothing() -> None:
    unfinished = admitted()
    unfinished.refused(END | {"req": "b"})
    unfinished.refused({"type": "response.progress", "req": "a"})
    unfinished.refused({"type": "response.orphan", "req": "a"})
    assert list(unfinished.debts()) == []


def test_an_end_that_nobody_waits_for_any_more_is_not_kept_for_ever() -> None:
    unfinished = admitted()
    unfinished.cut_off(END)
    assert "a" not in unfinished


def test_what_is_in_the_local_log_and_was_not_confirmed_has_one_end() -> None:
    unfinished = Unfinished()
    unfinished.unconfirmed(ADMIT, 7)
    (orphan,) = unfinished.debts()
    assert (orphan["req"], orphan["stream"]) == ("a", {"released_max": 0, "ended_by": "audit_unavailable"})
    unfinished.unconfirmed(orphan, 8)
    assert list(unfinished.debts()) == []
    ended = admitted()
    ended.unconfirmed(END, 8)
    assert list(ended.debts()) == []
    assert ended.is_ended_here("a"), "no abort after it"
