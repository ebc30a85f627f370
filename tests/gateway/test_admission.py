"""One key cannot take all the room, and the process does not take in more than it can hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import Admission, Concurrency
from gateway.errors import TooMany, Unavailable


def test_a_key_with_too_many_open_is_429_and_others_go_on() -> None:
    admission = Admission(Concurrency(total=10, per_key=2))
    admission.enter("a")
    admission.enter("a")
    with pytest.raises(TooMany) as refused:
        admission.enter("a")
    assert (refused.value.status, refused.value.code) == (429, "too_many_requests")
    admission.enter("b")
    admission.leave("a")
    admission.enter("a")


def test_a_full_process_is_503_for_everybody() -> None:
    admission = Admission(Concurrency(total=2, per_key=2))
    admission.enter("a")
    admission.enter("b")
    with pytest.raises(Unavailable) as refused:
        admission.enter("c")
    assert refused.value.code == "overloaded"
    admission.leave("b")
    admission.enter("c")


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_never_more_open_than_the_limits_say(keys: list[str]) -> None:
    """Each letter asks to come in; when refused, the one that is longest in leaves."""
    admission = Admission(Concurrency(total=5, per_key=3))
    inside: list[str] = []
    for key in keys:
        try:
            admission.enter(key)
        except (TooMany, Unavailable):
            assert len(inside) == 5 or inside.count(key) == 3
            if inside:
                admission.leave(inside.pop(0))
        else:
            inside.append(key)
            assert len(inside) <= 5
            assert inside.count(key) <= 3


def test_while_the_audit_log_is_in_trouble_nobody_comes_in_and_everybody_may_leave() -> None:
    trouble: list[str] = []
    admission = Admission(Concurrency(), lambda: trouble[0] if trouble else None)
    admission.enter("a")
    trouble.append("too old")
    with pytest.raises(Unavailable) as refused:
        admission.enter("a")
    assert (refused.value.status, refused.value.code) == (503, "audit_unavailable")
    admission.leave("a")
    trouble.clear()
    admission.enter("a")
