"""Llama Guard has six categories of its own, and a vocabulary that splits its verdict."""

from __future__ import annotations

from guards.profiles.llama_guard_1 import LLAMA_GUARD_1


def test_codes_are_its_own_and_the_first_token_decides() -> None:
    assert LLAMA_GUARD_1.categories == ("O1", "O2", "O3", "O4", "O5", "O6")
    assert not LLAMA_GUARD_1.answer.is_token
    assert LLAMA_GUARD_1.answer.opening == ""
    assert LLAMA_GUARD_1.window == 4_096
