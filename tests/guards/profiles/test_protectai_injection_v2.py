"""The profile of ProtectAI's classifier."""

from __future__ import annotations

from guards.profiles.protectai_injection_v2 import PROTECTAI_INJECTION_V2


def test_the_second_label_is_the_attack() -> None:
    assert PROTECTAI_INJECTION_V2.labels == ("SAFE", "INJECTION")
    assert PROTECTAI_INJECTION_V2.flagged == ("INJECTION",)
    assert PROTECTAI_INJECTION_V2.content_window == 510
