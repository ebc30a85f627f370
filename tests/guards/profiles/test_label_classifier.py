"""A classifier that a configuration describes is a profile like any other, or refused under the option's name."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.profiles.label_classifier import label_classifier
from guards.profiles.profile import Activation, Framing, Kind

LEAST = {"labels": ["safe", "bad"], "flagged": ["bad"]}


def test_labels_and_what_they_mean_are_enough() -> None:
    profile = label_classifier("house", LEAST)

    assert (profile.use, profile.labels, profile.flagged) == ("house", ("safe", "bad"), ("bad",))
    assert (profile.window, profile.overlap, profile.framing) == (512, 96, None)
    assert (profile.kind, profile.activation, profile.threshold_ppm) == (Kind.ATTACK, Activation.SOFTMAX, 500_000)
    assert "ModernBertForSequenceClassification" in profile.architectures


def test_everything_can_be_said() -> None:
    profile = label_classifier(
        "toxic",
        {
            "labels": ["toxic", "threat", "insult"],
            "flagged": ["toxic"],
            "activation": "sigmoid",
            "architecture": "RobertaForSequenceClassification",
            "categories": ["insult", "threat"],
            "kind": "hazard",
            "window": 256,
            "overlap": 32,
            "opening": "<s>",
            "closing": "</s>",
            "threshold": 0.7,
            "languages": ["de", "en"],
            "licence": "MIT",
            "title": "House classifier",
        },
    )

    assert profile.kind is Kind.HAZARD
    assert profile.categories == ("threat", "insult")
    assert profile.framing == Framing("<s>", "</s>", "")
    assert profile.architectures == ("RobertaForSequenceClassification",)
    assert (profile.window, profile.overlap, profile.threshold_ppm) == (256, 32, 700_000)
    assert profile.licence == "MIT"


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"labels": ["one"]}, "labels"),
        ({"labels": "safe, bad"}, "labels"),
        ({"flagged": []}, "flagged"),
        ({"flagged": ["evil"]}, "flagged"),
        ({"third_party": ["evil"]}, "third_party"),
        ({"categories": ["evil"]}, "categories"),
        ({"activation": "relu"}, "activation"),
        ({"architecture": "LlamaForCausalLM"}, "architecture"),
        ({"kind": "vibe"}, "kind"),
        ({"window": 4}, "window"),
        ({"overlap": 511}, ""),
        ({"opening": "[CLS]"}, "closing"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"labels": ["bad", "bad"]}, ""),
        ({"labels": ["a", "bad"], "flagged": ["a", "bad"], "activation": "sigmoid"}, ""),
        ({"template": "x"}, "template"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, object], option: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        label_classifier("house", LEAST | changed)
    assert (caught.value.guard, caught.value.option) == ("house", option)
