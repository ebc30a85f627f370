"""The mean of checkpoints weighs each as it is told to."""

from __future__ import annotations

import torch

from engine.starter.train.mean import mean


def test_a_part_counts_by_its_weight() -> None:
    states = [(2.0, {"a": torch.tensor([1.0, 4.0])}), (1.0, {"a": torch.tensor([4.0, 1.0])})]

    assert torch.equal(mean(states)["a"], torch.tensor([2.0, 3.0]))
