"""ShieldGemma is asked one guideline a prompt."""

from __future__ import annotations

from guards.profiles.generative import Subject
from guards.profiles.shieldgemma import SHIELDGEMMA


def test_yes_means_that_the_guideline_is_violated() -> None:
    assert (SHIELDGEMMA.answer.unsafe, SHIELDGEMMA.answer.safe) == (("Yes",), ("No",))
    assert SHIELDGEMMA.subject is Subject.GUIDELINE
    assert SHIELDGEMMA.categories == ()
    assert SHIELDGEMMA.turns == 2
