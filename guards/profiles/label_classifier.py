"""Any sequence classifier, described in the configuration instead of in code.

    guards:
      house_classifier: {path: /models/x, profile: label_classifier, labels: [safe, bad], flagged: [bad]}

The labels have to be those of the checkpoint's config, in its order; what they mean is what `flagged` says. Tokens that
frame a window come from the tokenizer's own post-processor unless they are named. Nothing is guessed: a value that is
missing, unknown or contradicts another is a GuardSetupError at start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guards.errors import GuardSetupError
from guards.options import MAX_OVERLAP, Options
from guards.profiles.profile import Activation, Framing, Kind, Profile

USE: Final = "label_classifier"
"""What a configuration writes after `profile:`."""
OPTIONS: Final = frozenset(
    {
        "labels",
        "flagged",
        "third_party",
        "activation",
        "architecture",
        "categories",
        "kind",
        "window",
        "overlap",
        "opening",
        "closing",
        "unknown",
        "threshold",
        "languages",
        "licence",
        "title",
    }
)
ARCHITECTURES: Final = (
    "BertForSequenceClassification",
    "DebertaV2ForSequenceClassification",
    "DistilBertForSequenceClassification",
    "ElectraForSequenceClassification",
    "ModernBertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
)
"""Encoders that read one row of ids between two framing tokens, without token types."""
LONGEST_WINDOW: Final = 131_072


def label_classifier(use: str, values: Mapping[str, object]) -> Profile:
    """The profile that the options of one entry of `guards:` describe, or GuardSetupError."""
    options = Options(use, values, OPTIONS)
    labels = options.strings("labels", ())
    if len(labels) < 2:
        raise GuardSetupError(use, "expected the checkpoint's labels, at least two, in its order", "labels")
    codes = options.among("categories", labels, ())
    architecture = options.string("architecture", "")
    if architecture and architecture not in ARCHITECTURES:
        raise GuardSetupError(use, f"expected one of {', '.join(ARCHITECTURES)}", "architecture")
    window = options.integer("window", 8, LONGEST_WINDOW, 512)
    try:
        return Profile(
            use=use,
            title=options.string("title", use),
            kind=Kind(_choice(options, "kind", tuple(Kind), Kind.ATTACK)),
            architecture=architecture or ARCHITECTURES[0],
            architectures=(architecture,) if architecture else ARCHITECTURES,
            activation=Activation(_choice(options, "activation", tuple(Activation), Activation.SOFTMAX)),
            labels=labels,
            flagged=_flagged(options, labels),
            third_party=options.among("third_party", labels, ()),
            categories=codes,
            names=tuple((code, code) for code in codes),
            window=window,
            overlap=options.integer("overlap", 0, MAX_OVERLAP, min(96, (window - 2) // 4)),
            framing=_framing(options),
            languages=options.strings("languages", ("en",)),
            licence=options.string("licence", "not stated"),
            threshold_ppm=_threshold(options),
        )
    except ValueError as exc:
        raise GuardSetupError(use, str(exc)) from exc


def _flagged(options: Options, labels: tuple[str, ...]) -> tuple[str, ...]:
    flagged = options.among("flagged", labels, ())
    if not flagged:
        raise GuardSetupError(options.use, "expected the labels that mean an attack or a hazard", "flagged")
    return flagged


def _choice(options: Options, key: str, known: tuple[str, ...], default: str) -> str:
    value = options.string(key, default)
    if value not in known:
        raise GuardSetupError(options.use, f"expected one of {', '.join(known)}", key)
    return value


def _framing(options: Options) -> Framing | None:
    """Named as a whole or not at all: half a frame would be a frame that no model was trained with."""
    if not {"opening", "closing", "unknown"} & set(options.values):
        return None
    return Framing(options.string("opening"), options.string("closing"), options.string("unknown", ""))


def _threshold(options: Options) -> int:
    value = options.values.get("threshold", 0.5)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= 1.0:
        raise GuardSetupError(options.use, "expected a number above 0 and up to 1", "threshold")
    return round(value * 1_000_000)
