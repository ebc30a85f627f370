"""The hazard profile against the contract with the shipped checkpoint."""

from __future__ import annotations

from guards.profiles.profile import Activation
from guards.profiles.starter_hazard import STARTER_HAZARD


def test_unsafe_comes_first_and_then_the_fourteen_codes() -> None:
    assert STARTER_HAZARD.activation is Activation.SIGMOID
    assert STARTER_HAZARD.labels == ("unsafe", *(f"S{number}" for number in range(1, 15)))
    assert STARTER_HAZARD.flagged == ("unsafe",)
    assert STARTER_HAZARD.categories == STARTER_HAZARD.labels[1:]
