"""Prompt Guard 2: the last class is the attack, however the config spells it."""

from __future__ import annotations

import pytest

from guards.profiles.profile import Profile
from guards.profiles.prompt_guard_2 import PROMPT_GUARD_2_22M, PROMPT_GUARD_2_86M


@pytest.mark.parametrize("profile", [PROMPT_GUARD_2_86M, PROMPT_GUARD_2_22M])
def test_the_last_of_two_classes_is_the_score(profile: Profile) -> None:
    assert profile.flagged == profile.labels[-1:]
    assert len(profile.labels) == 2
    assert ("LABEL_0", "LABEL_1") in profile.spellings
    assert profile.content_window == 510
    assert profile.overlap >= 64
    assert profile.threshold_ppm == 900_000


def test_the_probe_differs_in_blanks_only() -> None:
    ((spaced, unspaced),) = PROMPT_GUARD_2_86M.probes

    assert spaced.replace(" ", "") == unspaced != spaced


def test_the_small_one_claims_english_only() -> None:
    assert PROMPT_GUARD_2_22M.languages == ("en",)
    assert len(PROMPT_GUARD_2_86M.languages) == 8
