"""ProtectAI's prompt-injection classifier, version 2: English injections; by its card not made for jailbreaks."""

from __future__ import annotations

from typing import Final

from guards.profiles.profile import Activation, Figure, Framing, Kind, Profile

PROTECTAI_INJECTION_V2: Final = Profile(
    use="protectai_injection_v2",
    title="ProtectAI deberta-v3-base-prompt-injection-v2",
    kind=Kind.ATTACK,
    architecture="DebertaV2ForSequenceClassification",
    activation=Activation.SOFTMAX,
    labels=("SAFE", "INJECTION"),
    flagged=("INJECTION",),
    spellings=(("LABEL_0", "LABEL_1"),),
    categories=(),
    names=(),
    window=512,
    overlap=96,
    framing=Framing("[CLS]", "[SEP]", "[UNK]"),
    languages=("en",),
    licence="Apache-2.0",
    figures=(
        Figure(
            "attacks prevented on AgentDojo at 3 % loss of utility",
            "22.2 %",
            "Llama Prompt Guard 2 model card, Meta, 2025-04",
        ),
    ),
)
