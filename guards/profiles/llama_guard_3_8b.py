"""Llama Guard 3 8B: S1 to S14. Its template takes strings, begins with a space and has its categories written in."""

from __future__ import annotations

from guards.profiles.generative import GenerativeProfile
from guards.profiles.llama_guard_prompt import ANSWER, EIGHT, LLAMA3_ENDS, llama3_skeleton
from guards.profiles.profile import Figure
from guards.profiles.taxonomy import HAZARDS

_CARD = "Llama Guard 3 8B model card"

LLAMA_GUARD_3_8B = GenerativeProfile(
    use="llama_guard_3_8b",
    title="Llama Guard 3 8B",
    architecture="LlamaForCausalLM",
    names=HAZARDS,
    answer=ANSWER,
    window=8_192,
    languages=EIGHT,
    licence="Llama 3.1 Community License",
    bos="<|begin_of_text|>",
    ends=LLAMA3_ENDS,
    rewritable=True,
    skeleton=llama3_skeleton(start=" "),
    figures=(
        Figure("F1 / false positive rate, English responses, private set", "0.939 / 0.040", _CARD),
        Figure("English response AUPRC, private set", "0.985", _CARD),
        Figure("F1 / false positive rate, search tool calls, private set", "0.856 / 0.174", _CARD),
        Figure("F1 / false positive rate, code interpreter, private set", "0.885 / 0.125", _CARD),
    ),
)
