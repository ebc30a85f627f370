"""One pass for texts of any lengths: the company of others changes nothing, and the last layer's saving nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.classifiers.encoder import PackedEncoder
from engine.classifiers.families import read
from tests.engine.classifiers.families_of import deberta, logits, texts

MODEL = deberta()


@pytest.fixture(scope="module")
def forward() -> PackedEncoder:
    with torch.inference_mode():
        found = read(MODEL, "fp32")
    assert found is not None
    return found


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=9), st.integers(0, 99))
def test_scores_do_not_depend_on_company_or_order(forward: PackedEncoder, lengths: list[int], seed: int) -> None:
    batch = texts(lengths, seed)
    with torch.inference_mode():
        together = forward.logits(batch).softmax(-1)
        backwards = forward.logits(batch[::-1]).softmax(-1).flip(0)

    assert (together - logits(MODEL, batch).softmax(-1)).abs().max() < 1e-4
    assert (together - backwards).abs().max() < 1e-4


def test_texts_have_their_own_rows(forward: PackedEncoder) -> None:
    with torch.inference_mode():
        assert forward.logits(texts((3, 9, 3))).shape == (3, 2)
    assert forward.packs
