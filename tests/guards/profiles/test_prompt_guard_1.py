"""Prompt Guard 1: which label counts depends on who wrote the text."""

from __future__ import annotations

from guards.profiles.prompt_guard_1 import PROMPT_GUARD_1_86M


def test_instructions_alone_are_an_attack_only_where_a_third_party_wrote_them() -> None:
    assert PROMPT_GUARD_1_86M.labels == ("BENIGN", "INJECTION", "JAILBREAK")
    assert PROMPT_GUARD_1_86M.flagged == ("JAILBREAK",)
    assert PROMPT_GUARD_1_86M.third_party == ("INJECTION", "JAILBREAK")


def test_the_window_is_what_the_model_was_trained_with() -> None:
    assert PROMPT_GUARD_1_86M.content_window == 510
    assert PROMPT_GUARD_1_86M.overlap >= 64
    assert PROMPT_GUARD_1_86M.threshold_ppm == 900_000
