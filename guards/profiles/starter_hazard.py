"""The shipped hazard classifier: is this text unsafe, and in which of the categories S1 to S14?

For trial and as a cheap first stage; not a replacement for Llama Guard. The score is the label `unsafe`; categories
have probabilities of their own and say why, so a text can be unsafe without any category above its threshold.
"""

from __future__ import annotations

from guards.profiles.profile import Activation, Framing, Kind, Profile
from guards.profiles.taxonomy import HAZARDS

STARTER_HAZARD = Profile(
    use="starter_hazard",
    title="Gatehouse starter hazard guard",
    kind=Kind.HAZARD,
    architecture="BertForSequenceClassification",
    activation=Activation.SIGMOID,
    labels=("unsafe", *(code for code, _ in HAZARDS)),
    flagged=("unsafe",),
    categories=tuple(code for code, _ in HAZARDS),
    names=HAZARDS,
    window=256,
    overlap=64,
    framing=Framing("[CLS]", "[SEP]", "[UNK]"),
    languages=("en",),
    licence="Apache-2.0",
)
