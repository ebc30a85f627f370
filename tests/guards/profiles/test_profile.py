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
    ],
)
def test_contradictions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="profile `starter_injection`"):
        replace(STARTER_INJECTION, **changes)  # type: ignore[arg-type]


def test_other_families_fit_the_same_form() -> None:
    """Prompt Guard 1 sums two classes for third-party text; Llama Guard has tokens instead of outputs."""
    prompt_guard = replace(
        STARTER_INJECTION,
        use="prompt_guard",
        architecture="DebertaV2ForSequenceClassification",
        labels=("BENIGN", "INJECTION", "JAILBREAK"),
        flagged=("INJECTION", "JAILBREAK"),
        window=512,
    )
    llama_guard = replace(
        STARTER_HAZARD, activation=Activation.TOKENS, labels=("safe", "unsafe"), framing=None, window=131_072
    )

    assert prompt_guard.content_window == 510
    assert llama_guard.content_window == 131_072
