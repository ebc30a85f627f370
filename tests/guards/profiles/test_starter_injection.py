"""The injection profile against the contract with the shipped checkpoint."""

from __future__ import annotations

from guards.profiles.profile import Activation
from guards.profiles.starter_injection import STARTER_INJECTION


def test_the_score_is_the_probability_of_the_second_label() -> None:
    assert STARTER_INJECTION.activation is Activation.SOFTMAX
    assert STARTER_INJECTION.labels == ("benign", "attack")
    assert STARTER_INJECTION.flagged == ("attack",)
    assert 64 <= STARTER_INJECTION.overlap <= 128
