"""Llama Guard 2 shares codes with its successors, and not their meaning."""

from __future__ import annotations

from guards.profiles.llama_guard_2 import LLAMA_GUARD_2
from guards.profiles.llama_guard_3_8b import LLAMA_GUARD_3_8B


def test_eleven_categories_of_which_only_four_mean_what_they_mean_later() -> None:
    later = dict(LLAMA_GUARD_3_8B.names)
    same = [code for code, name in LLAMA_GUARD_2.names if later[code] == name]

    assert len(LLAMA_GUARD_2.categories) == 11
    assert same == ["S1", "S2", "S3", "S4"]
    assert LLAMA_GUARD_2.languages == ("en",)
