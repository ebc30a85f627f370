"""Llama Guard (2023): six categories of its own, on Llama 2.

Only this one and Llama Guard 2 have a published threshold. The vocabulary of Llama 2 splits `unsafe`; its first token
decides, as in the paper.
"""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile
from guards.profiles.profile import Figure

LLAMA_GUARD_1 = GenerativeProfile(
    use="llama_guard_1",
    title="Llama Guard 7B",
    architecture="LlamaForCausalLM",
    names=(
        ("O1", "Violence and Hate"),
        ("O2", "Sexual Content"),
        ("O3", "Criminal Planning"),
        ("O4", "Guns and Illegal Weapons"),
        ("O5", "Regulated or Controlled Substances"),
        ("O6", "Self-Harm"),
    ),
    answer=AnswerForm(safe=(" safe", "safe"), unsafe=(" unsafe", "unsafe"), is_token=False, codes="\n"),
    window=4_096,
    languages=("en",),
    licence="Llama 2 Community License",
    bos="<s>",
    ends=("</s>",),
    rewritable=True,
    threshold=0.5,
    figures=(Figure("threshold", "0.5 on the probability of the first token", "arXiv 2312.06674"),),
)
