"""Any family by transformers' own forward: padding moves nothing, and other layers leave the original as it was."""

from __future__ import annotations

import pytest
import torch

from engine.classifiers.padded import padded
from tests.engine.classifiers.families_of import logits, of, texts


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "distilbert", "modernbert", "llama"])
@pytest.mark.parametrize("kind", [None, "fp32"])
def test_a_batch_gives_what_each_text_gives_alone(family: str, kind: str | None) -> None:
    model = of(family)
    with torch.inference_mode():
        found = padded(model, kind).logits(texts()).softmax(-1)
    assert (found - logits(model, texts()).softmax(-1)).abs().max() < 1e-5


def test_the_original_keeps_its_layers_and_shares_its_tensors() -> None:
    model = of("distilbert")
    changed = padded(model, "bf16").model

    assert type(model.distilbert.transformer.layer[0].ffn.lin1) is torch.nn.Linear
    assert type(changed.distilbert.transformer.layer[0].ffn.lin1) is not torch.nn.Linear
    assert changed.get_input_embeddings().weight is model.get_input_embeddings().weight
