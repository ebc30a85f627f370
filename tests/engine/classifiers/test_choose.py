"""The fastest forward that keeps the probabilities; anything that does not is not used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.classifiers.choose import choose, difference
from engine.classifiers.padded import PaddedModel
from engine.errors import ModelRefused
from engine.reduced import has_fast_bf16
from tests.engine.classifiers.families_of import deberta, logits, of, texts


def softmax(found: Tensor) -> Tensor:
    return found.softmax(-1)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert", "llama"])
def test_fp32_is_exact_for_every_family(family: str) -> None:
    model = of(family)
    forward, name = choose(model, "fp32", 64, softmax)

    with torch.inference_mode():
        found = forward.logits(texts()).softmax(-1)
    assert name == "fp32"
    assert forward.packs == (family in ("bert", "roberta"))
    assert (found - logits(model, texts()).softmax(-1)).abs().max() < 1e-5


def test_a_layer_that_is_other_than_its_name_says_is_left_to_transformers() -> None:
    """A patched attention gives other probabilities than the packed reading: the model's own code must win."""
    model = deberta()
    attention = type(model.deberta.encoder.layer[0].attention.self)

    class Sharper(attention):  # type: ignore[misc,valid-type]
        def disentangled_attention_bias(self, *given: Any, **named: Any) -> Tensor:
            bias: Tensor = super().disentangled_attention_bias(*given, **named)
            return bias * 2

    for layer in model.deberta.encoder.layer:
        layer.attention.self.__class__ = Sharper
    forward, _ = choose(model, "fp32", 512, softmax)

    assert isinstance(forward, PaddedModel)
    with torch.inference_mode():
        found = forward.logits(texts()).softmax(-1)
    assert (found - logits(model, texts()).softmax(-1)).abs().max() < 1e-5


@pytest.mark.skipif(not has_fast_bf16(), reason="needs a processor that multiplies bf16")
def test_bf16_is_taken_where_it_drifts_little_and_never_where_it_drifts_far() -> None:
    model = deberta()

    assert choose(model, "auto", 64, softmax)[1] == "bf16"
    assert choose(model, "auto", 64, softmax, max_drift=1e-6)[1] == "fp32"
    assert choose(model, "bf16", 64, softmax, max_drift=1e-6)[1] == "bf16", "what was asked for is taken"


def test_scores_that_are_no_numbers_refuse_the_model() -> None:
    model = of("bert")
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    with pytest.raises(ModelRefused) as caught:
        choose(model, "fp32", 64, softmax)
    assert caught.value.code == "weights_not_finite"


def test_a_class_that_wants_more_than_ids_is_refused_at_load() -> None:
    """BART reads its score at an end token, and fails on a text that has none."""
    from transformers import BartConfig, BartForSequenceClassification

    sizes = {f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    config = BartConfig(vocab_size=50, d_model=8, encoder_ffn_dim=8, decoder_ffn_dim=8, eos_token_id=49, **sizes)
    with pytest.raises(ModelRefused) as caught:
        choose(BartForSequenceClassification(config).eval(), "fp32", 20, softmax)
    assert caught.value.code == "model_unsupported"


def test_a_forward_that_fails_or_gives_no_number_is_as_far_off_as_can_be() -> None:
    class Failing:
        packs = True

        def __init__(self, answer: Tensor | None) -> None:
            self.answer = answer

        def logits(self, batch: Any) -> Tensor:
            if self.answer is None:
                raise KeyError("no such layer")
            return self.answer.expand(len(batch), 2)

    expected = torch.tensor([[0.5, 0.5]])
    assert difference(Failing(None), [[1]], expected, softmax) == float("inf")
    assert difference(Failing(torch.tensor([float("nan"), 0])), [[1]], expected, softmax) == float("inf")
    assert difference(Failing(torch.zeros(2)), [[1]], expected, softmax) == 0


def test_a_precision_that_does_not_run_is_refused_where_it_was_asked_for_by_name() -> None:
    """A bias of -3.4e38 is a number in fp32, and its activation is zero; in bf16 it is rounded to minus infinity."""
    model = of("distilbert")
    with torch.no_grad():
        model.distilbert.transformer.layer[0].ffn.lin1.bias[:] = -3.4e38
    found = logits(model, texts())
    assert torch.isfinite(found).all()
    with pytest.raises(ModelRefused) as caught:
        choose(model, "bf16", 64, softmax)
    assert caught.value.code == "precision_unsupported"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", ["deberta", "bert", "roberta", "distilbert", "modernbert"])
def test_a_gpu_gives_the_same_probabilities(family: str) -> None:
    """Its twin on a CPU is `test_fp32_is_exact_for_every_family`."""
    model = deberta() if family == "deberta" else of(family)
    wanted = logits(model, texts()).softmax(-1)
    forward, name = choose(model.to("cuda"), "fp32", 64, softmax)

    with torch.inference_mode():
        found = forward.logits(texts()).softmax(-1).cpu()
    assert name == "fp32"
    assert forward.packs == (family in ("deberta", "bert", "roberta"))
    assert (found - wanted).abs().max() < 1e-4
