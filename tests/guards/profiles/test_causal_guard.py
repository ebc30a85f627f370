"""The generic profile leaves everything to a configuration."""

from __future__ import annotations

from guards.profiles.causal_guard import CAUSAL_GUARD


def test_nothing_is_assumed_of_its_model() -> None:
    assert CAUSAL_GUARD.architecture == ""
    assert CAUSAL_GUARD.categories == ()
    assert CAUSAL_GUARD.bos == ""
    assert CAUSAL_GUARD.skeleton == ""
