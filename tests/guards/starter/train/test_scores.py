"""Windows miss nothing, and ranked quality counts as it should."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from guards.starter.train.scores import CLS, SEP, auc, batches, padded, recall_at, threshold_at, windows


@pytest.mark.parametrize("length", [0, 1, 253, 254, 255, 256, 700])
def test_windows_cover_every_token_and_overlap(length: int) -> None:
    ids = list(range(1000, 1000 + length))
    cut = windows(ids)
    assert all(one[0] == CLS and one[-1] == SEP and len(one) <= 256 for one in cut)
    assert set(ids) == {token for one in cut for token in one[1:-1]}
    for one, following in pairwise(cut):
        assert set(one[1:-1]) & set(following[1:-1])


def test_batches_hold_each_text_once_and_respect_the_budget() -> None:
    lengths = [5, 200, 7, 90, 6, 256, 3]
    groups = batches(lengths, 256)
    assert sorted(n for group in groups for n in group) == list(range(len(lengths)))
    assert all(len(group) * max(lengths[n] for n in group) <= 256 for group in groups)


def test_padding_is_masked() -> None:
    ids, mask = padded([[CLS, 5, SEP], [CLS, SEP]])
    assert ids.tolist() == [[CLS, 5, SEP], [CLS, SEP, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_auc_counts_ties_half() -> None:
    assert auc(Tensor([0.9, 0.5]), Tensor([0.5, 0.1])) == pytest.approx(0.875)
    assert math.isnan(auc(torch.empty(0), Tensor([0.1])))


def test_threshold_keeps_the_rate_that_was_asked_for() -> None:
    negative = torch.linspace(0, 1, 1001)
    for rate in (0.0, 0.01, 0.05):
        assert float((negative > threshold_at(negative, rate)).double().mean()) <= rate
    assert recall_at(Tensor([0.995, 0.5]), negative, 0.01) == 0.5
