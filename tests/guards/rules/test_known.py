"""The table of guards without a model: each is made from its options, and says what a policy may ask of it."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.rules.known import KINDS, make

LEAST: dict[str, dict[str, object]] = {
    "regex": {"pattern": "x"},
    "near": {"term": "a", "value": "b", "within": 1},
    "terms": {"words": ["some term"]},
    "size": {"words": 9},
}
"""Options without which a guard cannot be made."""


@pytest.mark.parametrize("use", KINDS)
def test_each_is_made_and_an_unknown_option_is_named(use: str) -> None:
    assert make(use, LEAST.get(use, {})).identity.use == use
    with pytest.raises(GuardSetupError, match="unknown, expected one of") as caught:
        make(use, LEAST.get(use, {}) | {"surprise": 1})
    assert caught.value.option == "surprise"


@pytest.mark.parametrize("use", [use for use, kind in KINDS.items() if kind.is_own_reader])
def test_settings_make_the_same_guard_again(use: str) -> None:
    guard = make(use, LEAST.get(use, {}))
    again = make(use, dict(guard.settings))
    assert (again.settings, again.labels, again.known_after) == (guard.settings, guard.labels, guard.known_after)
    assert bool(guard.labels) != bool(KINDS[use].categories)
