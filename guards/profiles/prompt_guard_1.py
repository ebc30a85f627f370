"""Prompt Guard 1 (86M): one model, two questions, so which label counts depends on who wrote the text.

JAILBREAK means an attempt to override the instructions. INJECTION means instructions where none belong: ordinary users
give instructions all the time, so it says something only about text that came from elsewhere (results of tools, their
schemas, retrieved documents), and there both labels count.
"""

from __future__ import annotations

from typing import Final

from guards.profiles.profile import Activation, Figure, Framing, Kind, Profile

_CARD: Final = "Prompt Guard model card, Meta, 2024-07"

PROMPT_GUARD_1_86M: Final = Profile(
    use="prompt_guard_1_86m",
    title="Prompt Guard 86M",
    kind=Kind.ATTACK,
    architecture="DebertaV2ForSequenceClassification",
    activation=Activation.SOFTMAX,
    labels=("BENIGN", "INJECTION", "JAILBREAK"),
    flagged=("JAILBREAK",),
    third_party=("INJECTION", "JAILBREAK"),
    spellings=(("LABEL_0", "LABEL_1", "LABEL_2"),),
    categories=("INJECTION", "JAILBREAK"),
    names=(("INJECTION", "Instructions in text of third parties"), ("JAILBREAK", "Attempt to override instructions")),
    window=512,
    overlap=96,
    framing=Framing("[CLS]", "[SEP]", "[UNK]"),
    languages=("en", "fr", "de", "hi", "it", "pt", "es", "th"),
    licence="Llama 3.1 Community License",
    threshold_ppm=900_000,
    figures=(
        Figure("jailbreaks, own distribution: TPR / FPR / AUC", "99.9 % / 0.4 % / 0.997", _CARD),
        Figure("injections, own distribution: TPR / FPR / AUC", "99.5 % / 0.8 % / 1.000", _CARD),
        Figure("jailbreaks, unseen: TPR / FPR / AUC", "97.5 % / 3.9 % / 0.975", _CARD),
        Figure("jailbreaks, multilingual: TPR / FPR / AUC", "91.5 % / 5.3 % / 0.959", _CARD),
        Figure("indirect injections of CyberSecEval: TPR / FPR / AUC", "71.4 % / 1.0 % / 0.966", _CARD),
        Figure("English AUC; recall at 1 % FPR", "0.987; 21.2 %", "Llama Prompt Guard 2 model card, Meta, 2025-04"),
    ),
)
