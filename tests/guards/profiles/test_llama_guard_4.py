"""The facts of llama_guard_4 that code relies on."""

from __future__ import annotations

from guards.profiles.generative import Content
from guards.profiles.llama_guard_4 import LLAMA_GUARD_4


def test_class_taxonomy_and_template_are_those_of_the_checkpoint() -> None:
    profile = LLAMA_GUARD_4

    assert profile.architecture == "Llama4ForConditionalGeneration"
    assert profile.categories == tuple(f"S{i}" for i in range(1, 15))
    assert profile.content is Content.PARTS
    assert profile.answer.opening == "\n\n"
    assert profile.threshold is None
    assert profile.skeleton
