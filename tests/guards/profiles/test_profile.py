"""A profile that contradicts itself cannot be made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guards.profiles.profile import Activation
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("benign", "benign")},
        {"flagged": ()},
        {"flagged": ("malicious",)},
        {"flagged": ("benign", "attack"), "activation": Activation.SIGMOID},
        {"categories": ("S1",), "names": (("S1", "x"),)},
        {"names": (("S1", "x"),)},
        {"overlap": 510},
        {"window": 2},
        {"third_party": ("malicious",)},
        {"spellings": (("LABEL_0",),)},
        {"third_party": ("benign", "attack"), "activation": Activation.SIGMOID},
    ],
)
def test_contradictions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="profile `starter_injection`"):
        replace(STARTER_INJECTION, **changes)  # type: ignore[arg-type]


def test_every_window_leaves_room_for_the_two_framing_tokens() -> None:
    assert STARTER_INJECTION.content_window == STARTER_INJECTION.window - 2
    assert replace(STARTER_HAZARD, framing=None).content_window == STARTER_HAZARD.window - 2
