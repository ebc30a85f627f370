"""Rotations depend on distance only, and the stretched ones are those of transformers."""

from __future__ import annotations

import pytest
import torch

from engine.model.rope import angles, frequencies, rotate
from engine.shape import RopeScaling
from tests.engine.stand_ins import small_config


def test_position_zero_changes_nothing_and_lengths_stay() -> None:
    config = small_config(head_dim=8)
    x = torch.randn(3, 2, 8)
    turned = rotate(x, angles(torch.tensor([0, 5, 1000]), frequencies(config)))

    torch.testing.assert_close(turned[0], x[0])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_a_product_depends_on_the_distance_only() -> None:
    config = small_config(head_dim=8)
    q, k = torch.randn(1, 1, 8), torch.randn(1, 1, 8)

    def product(at: int, distance: int) -> float:
        here, there = (
            rotate(x, angles(torch.tensor([p]), frequencies(config))) for x, p in ((q, at + distance), (k, at))
        )
        return float((here * there).sum())

    assert product(0, 7) == pytest.approx(product(500, 7), abs=1e-3)


@pytest.mark.parametrize(("low", "high"), [(1.0, 4.0), (1.0, 1.0)])
def test_stretched_frequencies_are_those_of_transformers(low: float, high: float) -> None:
    from transformers import Llama4TextConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = RopeScaling(8.0, low, high, 64)
    rope = {"rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": low}
    rope |= {"high_freq_factor": high, "original_max_position_embeddings": 64}
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](Llama4TextConfig(head_dim=64, rope_parameters=rope))

    ours = frequencies(small_config(head_dim=64, rope_scaling=scaling))

    assert torch.isfinite(ours).all()
    torch.testing.assert_close(ours, theirs)
