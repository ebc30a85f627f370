"""ShieldGemma 2B, 9B and 27B: one policy a prompt, `Yes` when the text violates it.

The guideline's text belongs to the model card and is not shipped; a configuration names each policy and its text.
"""

from __future__ import annotations

from guards.profiles.generative import AnswerForm, GenerativeProfile, Subject

SHIELDGEMMA = GenerativeProfile(
    use="shieldgemma",
    title="ShieldGemma",
    architecture="Gemma2ForCausalLM",
    names=(),
    answer=AnswerForm(safe=("No",), unsafe=("Yes",)),
    window=8_192,
    languages=("en",),
    licence="Gemma Terms of Use",
    turns=2,
    subject=Subject.GUIDELINE,
    bos="<bos>",
    ends=("<end_of_turn>", "<eos>"),
    speakers=("Human Question", "Chatbot Response", "Question"),
)
