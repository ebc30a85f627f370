"""The shipped injection classifier: does this text try to override instructions?

Prompt-Guard-style, for trial and as a cheap first stage. Its model card says what it catches on sources it never saw.
"""

from __future__ import annotations

from guards.profiles.profile import Activation, Framing, Kind, Profile

STARTER_INJECTION = Profile(
    use="starter_injection",
    title="Gatehouse starter injection guard",
    kind=Kind.ATTACK,
    architecture="BertForSequenceClassification",
    activation=Activation.SOFTMAX,
    labels=("benign", "attack"),
    flagged=("attack",),
    categories=(),
    names=(),
    window=256,
    overlap=64,
    framing=Framing("[CLS]", "[SEP]", "[UNK]"),
    languages=("en",),
    licence="Apache-2.0",
)
