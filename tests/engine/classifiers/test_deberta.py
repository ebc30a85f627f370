"""Fact 13: DeBERTa-v2 has eager attention only in transformers; ours is exactly that, in all its variants."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.classifiers.deberta import Distances, scale_of
from engine.classifiers.families import read
from tests.engine.classifiers.families_of import deberta, logits, texts

VARIANTS: dict[str, dict[str, Any]] = {
    "prompt_guard_2": {},
    "own_projections": {"share_att_key": False},
    "content_to_position": {"share_att_key": False, "pos_att_type": "c2p"},
    "position_to_content": {"share_att_key": False, "pos_att_type": "p2c"},
    "content_to_position_shared": {"pos_att_type": "c2p"},
    "no_term": {"pos_att_type": ""},
    "no_buckets": {"position_buckets": -1},
    "no_buckets_and_a_short_table": {"position_buckets": -1, "max_relative_positions": 24},
    "large_buckets": {"position_buckets": 256},
    "not_relative": {"relative_attention": False, "position_biased_input": True},
    "places_in_the_input": {"position_biased_input": True, "type_vocab_size": 2},
    "table_without_norm": {"norm_rel_ebd": "none"},
    "convolution": {"conv_kernel_size": 3, "conv_act": "gelu"},
    "convolution_and_one_layer": {"conv_kernel_size": 3, "conv_act": "tanh", "num_hidden_layers": 1},
    "one_layer": {"num_hidden_layers": 1},
    "small_embedding": {"embedding_size": 16},
    "other_activation": {"hidden_act": "relu"},
}
INPUTS = texts((1, 2, 5, 16, 17, 40, 47, 130, 512))


@pytest.mark.parametrize("variant", VARIANTS)
def test_fact_13_probabilities_are_those_of_the_eager_module(variant: str) -> None:
    model = deberta(**VARIANTS[variant])
    expected = logits(model, INPUTS).softmax(-1)
    with torch.inference_mode():
        forward = read(model, "fp32")
        assert forward is not None
        together = forward.logits(INPUTS).softmax(-1)
        alone = torch.cat([forward.logits([ids]) for ids in INPUTS]).softmax(-1)

    assert (together - expected).abs().max() < 1e-5
    assert (alone - expected).abs().max() < 1e-5
    assert expected[:, 0].std() > 0.01, "texts that all score alike would prove nothing"


def test_fact_13_transformers_has_no_other_attention_for_it() -> None:
    """When this fails, the packed form has a rival to be measured against."""
    model = deberta()
    with pytest.raises((ValueError, NotImplementedError)):
        type(model)._from_config(model.config, attn_implementation="sdpa")


def test_the_position_term_matters_in_these_tests() -> None:
    model = deberta()
    before = logits(model, INPUTS)
    torch.nn.init.zeros_(model.deberta.encoder.rel_embeddings.weight)
    assert (logits(model, INPUTS) - before).abs().max() > 0.01


def test_bf16_is_close() -> None:
    model = deberta(initializer_range=0.05)
    with torch.inference_mode():
        forward = read(model, "bf16")
        assert forward is not None
        found = forward.logits(INPUTS).softmax(-1)
    assert (found - logits(model, INPUTS).softmax(-1)).abs().max() < 0.02


@pytest.mark.parametrize("length", [1, 2, 33, 512])
def test_a_distance_uses_the_row_that_the_model_uses(length: int) -> None:
    model = deberta(position_buckets=32)
    encoder = model.deberta.encoder
    matrix = encoder.get_rel_pos(torch.empty(1, length, 1))[0].long()

    rows = Distances(encoder, 32, 512, torch.device("cpu")).rows_w(length)

    assert len(rows) == 2 * length - 1
    for query in range(0, length, 7):
        found = rows[length - 1 - query : 2 * length - 1 - query]
        assert torch.equal(found, (matrix[query] + 32).clamp(0, 63))


def test_scores_are_divided_by_more_the_more_terms_there_are() -> None:
    def scale(kinds: str) -> float:
        return scale_of(deberta(pos_att_type=kinds).deberta.encoder.layer[0].attention.self)

    assert [scale(kinds) ** 2 / 8 for kinds in ("", "c2p", "p2c|c2p")] == pytest.approx([1, 2, 3])
