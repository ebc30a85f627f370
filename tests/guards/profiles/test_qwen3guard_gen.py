"""Qwen3Guard says one of three levels, and the middle one is not safe."""

from __future__ import annotations

from guards.profiles.qwen3guard_gen import QWEN3GUARD_GEN


def test_controversial_counts_as_unsafe() -> None:
    assert QWEN3GUARD_GEN.answer.unsafe == (" Unsafe", " Controversial")
    assert QWEN3GUARD_GEN.answer.text == "Safety:"
