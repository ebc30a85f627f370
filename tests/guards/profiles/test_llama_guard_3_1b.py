"""The facts of llama_guard_3_1b that code relies on."""

from __future__ import annotations

from guards.profiles.generative import Content
from guards.profiles.llama_guard_3_1b import LLAMA_GUARD_3_1B


def test_class_taxonomy_and_template_are_those_of_the_checkpoint() -> None:
    profile = LLAMA_GUARD_3_1B

    assert profile.architecture == "LlamaForCausalLM"
    assert profile.categories == tuple(f"S{i}" for i in range(1, 14))
    assert profile.content is Content.PARTS
    assert profile.answer.opening == "\n\n"
    assert profile.threshold is None
    assert profile.skeleton
