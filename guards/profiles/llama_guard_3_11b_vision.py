"""Llama Guard 3 11B Vision, for text: S1 to S13. Pictures are not judged here; a part that is one is an error."""

from __future__ import annotations

from guards.profiles.generative import Content, GenerativeProfile
from guards.profiles.llama_guard_prompt import ANSWER, LLAMA3_ENDS, llama3_skeleton
from guards.profiles.profile import Figure
from guards.profiles.taxonomy import HAZARDS

LLAMA_GUARD_3_11B_VISION = GenerativeProfile(
    use="llama_guard_3_11b_vision",
    title="Llama Guard 3 11B Vision (text only)",
    architecture="MllamaForConditionalGeneration",
    names=HAZARDS[:13],
    answer=ANSWER,
    window=8_192,
    languages=("en",),
    licence="Llama 3.2 Community License (not for licensees in the EU)",
    content=Content.PARTS,
    bos="<|begin_of_text|>",
    ends=LLAMA3_ENDS,
    rewritable=True,
    skeleton=llama3_skeleton(before_end=" "),
    figures=(
        Figure("precision / recall, prompts, private set", "0.891 / 0.623", "Llama Guard 3 11B Vision model card"),
        Figure("precision / recall, responses, private set", "0.961 / 0.916", "Llama Guard 3 11B Vision model card"),
    ),
)
