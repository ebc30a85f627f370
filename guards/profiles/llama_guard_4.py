"""Llama Guard 4 12B: S1 to S14 of texts, and of pictures.

Its published config has no attention chunk size; whoever runs it has to attend in full, see docs/guards.md.
"""

from __future__ import annotations

from guards.profiles.generative import Content, GenerativeProfile
from guards.profiles.llama_guard_prompt import ANSWER, EIGHT, LLAMA4_ENDS, llama4_skeleton
from guards.profiles.profile import Figure
from guards.profiles.taxonomy import HAZARDS

_CARD = "Llama Guard 4 model card"

LLAMA_GUARD_4 = GenerativeProfile(
    use="llama_guard_4",
    title="Llama Guard 4 12B",
    architecture="Llama4ForConditionalGeneration",
    names=HAZARDS,
    answer=ANSWER,
    window=8_192,
    languages=EIGHT,
    licence="Llama 4 Community License (not for licensees in the EU)",
    content=Content.PARTS,
    bos="<|begin_of_text|>",
    ends=LLAMA4_ENDS,
    sees=True,
    rewritable=True,
    skeleton=llama4_skeleton(),
    figures=(
        Figure("recall / false positive rate, English answers, private set", "0.69 / 0.11", _CARD),
        Figure("recall / false positive rate, answers in seven languages, private set", "0.43 / 0.03", _CARD),
    ),
)
