"""What is read into packed form gives the original's logits; what is not known is not read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.classifiers.families import read
from tests.engine.classifiers.families_of import LENGTHS, logits, of, texts

READ: list[tuple[str, dict[str, Any]]] = [
    ("bert", {}),
    ("bert", {"hidden_act": "gelu_new"}),
    ("bert", {"num_hidden_layers": 1, "num_labels": 5}),
    ("roberta", {}),
    ("xlm-roberta", {"hidden_act": "relu"}),
]


@pytest.mark.parametrize(("family", "changes"), READ)
@pytest.mark.parametrize(("kind", "tolerance"), [("fp32", 1e-5), ("int8", 0.15)])
def test_probabilities_are_those_of_transformers(
    family: str, changes: dict[str, Any], kind: str, tolerance: float
) -> None:
    model = of(family, **changes)
    expected = logits(model, texts()).softmax(-1)

    with torch.inference_mode():
        forward = read(model, kind)
        assert forward is not None
        assert (forward.logits(texts()).softmax(-1) - expected).abs().max() < tolerance
    assert expected[:, 0].std() > 0.01


def test_a_padding_token_inside_a_text_has_no_place_of_its_own_in_roberta() -> None:
    model = of("roberta")
    odd = [[5, 1, 6, 7], [1, 1, 8]]
    with torch.inference_mode():
        forward = read(model, "fp32")
        assert forward is not None
        assert (forward.logits(odd) - logits(model, odd)).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["distilbert", "modernbert", "llama"])
def test_other_families_are_left_to_transformers(family: str) -> None:
    assert read(of(family), "fp32") is None


def test_the_original_layers_can_be_freed() -> None:
    """Otherwise every guard would be in memory twice."""
    import gc
    import weakref

    model = of("bert")
    forward = read(model, "fp32")
    layers = weakref.ref(model.bert.encoder)
    del model
    gc.collect()

    assert layers() is None
    assert forward is not None
    with torch.inference_mode():
        assert forward.logits(texts()).shape == (len(LENGTHS), 2)
