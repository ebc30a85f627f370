"""Qwen3Guard-Gen 0.6B, 4B and 8B: `Safety:` and one of three levels. `Controversial` counts as unsafe.

The level's first token decides, the three differ in it. The categories' line is words, not codes, and is not read.
"""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile

QWEN3GUARD_GEN = GenerativeProfile(
    use="qwen3guard_gen",
    title="Qwen3Guard-Gen",
    architecture="Qwen3ForCausalLM",
    names=(),
    answer=AnswerForm(safe=(" Safe",), unsafe=(" Unsafe", " Controversial"), text="Safety:", is_token=False),
    window=8_192,
    languages=("119 languages, by its card",),
    licence="Apache-2.0",
    ends=("<|im_end|>", "<|endoftext|>"),
    speakers=("USER", "ASSISTANT"),
)
