"""Injection classifiers on ModernBERT: two labels and a window of 8,192 tokens, so most text needs one window only.

A checkpoint of this family that spells its labels otherwise is configured as `profile: label_classifier`.
"""

from __future__ import annotations

from typing import Final

from guards.profiles.profile import Activation, Framing, Kind, Profile

MODERNBERT_INJECTION: Final = Profile(
    use="modernbert_injection",
    title="ModernBERT injection classifier",
    kind=Kind.ATTACK,
    architecture="ModernBertForSequenceClassification",
    activation=Activation.SOFTMAX,
    labels=("benign", "injection"),
    flagged=("injection",),
    spellings=(("LABEL_0", "LABEL_1"), ("SAFE", "INJECTION"), ("BENIGN", "INJECTION"), ("safe", "injection")),
    categories=(),
    names=(),
    window=8_192,
    overlap=256,
    framing=Framing("[CLS]", "[SEP]", "[UNK]"),
    languages=("en",),
    licence="see the checkpoint",
)
