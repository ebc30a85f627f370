"""The recipe: what is kept aside stays aside."""

from __future__ import annotations

import pytest

from guards.starter.train.recipe import DEV_ONLY, DOSES, HELD_OUT, SHARE_ALIKE, UNSEEN, USUAL, Dose, dose


def test_nothing_kept_aside_or_share_alike_has_a_dose() -> None:
    dosed = {source for source, _ in DOSES}
    assert not dosed & (UNSEEN | SHARE_ALIKE)
    assert not HELD_OUT & DEV_ONLY


def test_an_unlisted_source_gets_the_usual_dose() -> None:
    assert dose("never heard of", "attack") == USUAL


@pytest.mark.parametrize(("cap", "trust"), [(-1, 1.0), (10, 1.5), (10, -0.1)])
def test_an_impossible_dose_is_refused(cap: int, trust: float) -> None:
    with pytest.raises(ValueError, match="expected cap"):
        Dose(cap, trust)
