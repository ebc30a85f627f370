"""Granite Guardian is asked one risk a prompt, by the name that its template knows."""

from __future__ import annotations

from guards.profiles.generative import Subject
from guards.profiles.granite_guardian_3 import GRANITE_GUARDIAN_3


def test_yes_means_that_the_risk_is_there() -> None:
    assert (GRANITE_GUARDIAN_3.answer.unsafe, GRANITE_GUARDIAN_3.answer.safe) == (("Yes",), ("No",))
    assert GRANITE_GUARDIAN_3.subject is Subject.RISK
    assert GRANITE_GUARDIAN_3.categories[0] == "harm"
