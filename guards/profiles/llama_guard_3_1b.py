"""Llama Guard 3 1B: S1 to S13, text only. Its template takes typed parts; a plain string renders as no conversation."""

from __future__ import annotations

from guards.profiles.generative import Content, GenerativeProfile
from guards.profiles.llama_guard_prompt import ANSWER, EIGHT, LLAMA3_ENDS, llama3_skeleton
from guards.profiles.profile import Figure
from guards.profiles.taxonomy import HAZARDS

LLAMA_GUARD_3_1B = GenerativeProfile(
    use="llama_guard_3_1b",
    title="Llama Guard 3 1B",
    architecture="LlamaForCausalLM",
    names=HAZARDS[:13],
    answer=ANSWER,
    window=8_192,
    languages=EIGHT,
    licence="Llama 3.2 Community License",
    content=Content.PARTS,
    bos="<|begin_of_text|>",
    ends=LLAMA3_ENDS,
    rewritable=True,
    skeleton=llama3_skeleton(before_end=" "),
    figures=(
        Figure(
            "F1 / false positive rate, English responses, private set", "0.899 / 0.090", "Llama Guard 3 1B model card"
        ),
        Figure(
            "F1 / false positive rate, Hindi responses, private set", "0.680 / 0.057", "Llama Guard 3 1B model card"
        ),
    ),
)
