"""Llama Guard 2 (2024): eleven categories whose codes mean other things than those of Llama Guard 3 and 4."""

from __future__ import annotations

from guards.profiles.generative import GenerativeProfile
from guards.profiles.llama_guard_prompt import ANSWER, LLAMA3_ENDS
from guards.profiles.profile import Figure

LLAMA_GUARD_2 = GenerativeProfile(
    use="llama_guard_2",
    title="Llama Guard 2 8B",
    architecture="LlamaForCausalLM",
    names=(
        ("S1", "Violent Crimes"),
        ("S2", "Non-Violent Crimes"),
        ("S3", "Sex-Related Crimes"),
        ("S4", "Child Sexual Exploitation"),
        ("S5", "Specialized Advice"),
        ("S6", "Privacy"),
        ("S7", "Intellectual Property"),
        ("S8", "Indiscriminate Weapons"),
        ("S9", "Hate"),
        ("S10", "Suicide & Self-Harm"),
        ("S11", "Sexual Content"),
    ),
    answer=ANSWER,
    window=8_192,
    languages=("en",),
    licence="Meta Llama 3 Community License",
    bos="<|begin_of_text|>",
    ends=LLAMA3_ENDS,
    rewritable=True,
    threshold=0.5,
    figures=(
        Figure("threshold", "0.5", "Llama Guard 2 model card"),
        Figure("English response AUPRC, private set", "0.927", "Llama Guard 3 8B model card"),
    ),
)
