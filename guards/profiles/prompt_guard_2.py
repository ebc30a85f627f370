"""Llama Prompt Guard 2, in two sizes: does this text try to override instructions?

Two classes, the last is the attack; configs call them by name or LABEL_0 and LABEL_1. The tokenizer removes blanks
before it looks at words, so that `i g n o r e` reads like `ignore`. That step lives in tokenizer.json alone and is lost
where a loader rebuilds the tokenizer from its class; the probe refuses a file that went through such a loader.
The threshold is the one that LlamaFirewall blocks at (0.9 and above); the model card gives none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from guards.profiles.profile import Activation, Figure, Framing, Kind, Profile

_CARD: Final = "Llama Prompt Guard 2 model card, Meta, 2025-04"

PROMPT_GUARD_2_86M: Final = Profile(
    use="prompt_guard_2_86m",
    title="Llama Prompt Guard 2 86M",
    kind=Kind.ATTACK,
    architecture="DebertaV2ForSequenceClassification",
    activation=Activation.SOFTMAX,
    labels=("BENIGN", "MALICIOUS"),
    flagged=("MALICIOUS",),
    spellings=(("LABEL_0", "LABEL_1"),),
    categories=(),
    names=(),
    window=512,
    overlap=96,
    framing=Framing("[CLS]", "[SEP]", "[UNK]"),
    languages=("en", "fr", "de", "hi", "it", "pt", "es", "th"),
    licence="Llama 4 Community License",
    threshold_ppm=900_000,
    probes=(("This is a test with spaces.", "Thisisatestwithspaces."),),
    figures=(
        Figure("English AUC; recall at 1 % FPR", "0.998; 97.5 %", _CARD),
        Figure("multilingual AUC", "0.995", _CARD),
        Figure("attacks prevented on AgentDojo at 3 % loss of utility", "81.2 %", _CARD),
        Figure("A100, 512 tokens, batch size not stated", "92.4 ms", _CARD),
    ),
)

PROMPT_GUARD_2_22M: Final = replace(
    PROMPT_GUARD_2_86M,
    use="prompt_guard_2_22m",
    title="Llama Prompt Guard 2 22M",
    languages=("en",),
    figures=(
        Figure("English AUC; recall at 1 % FPR", "0.995; 88.7 %", _CARD),
        Figure("multilingual AUC", "0.942", _CARD),
        Figure("attacks prevented on AgentDojo at 3 % loss of utility", "78.4 %", _CARD),
        Figure("A100, 512 tokens, batch size not stated", "19.3 ms", _CARD),
    ),
)
"""Evaluated in eight languages, too, but weak beyond English, so only that is claimed."""
