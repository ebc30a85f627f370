"""What lies between products, in plain torch: against the decoder's own operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.gpu.between import Added, Turn, add_norm, gated, spread, spread_beside, turned
from engine.kv_layout import layout_of
from engine.model.norm import rms_norm
from engine.model.rope import angles, frequencies, rotate
from engine.pages import pages_of
from tests.engine.stand_ins import small_config

CONFIG = small_config(heads=4, kv_heads=2, head_dim=8)


def test_a_sum_and_its_norm() -> None:
    torch.manual_seed(0)
    x, part, found, weight = (torch.randn(shape) for shape in ((3, 8), (3, 8), (6, 8), (8,)))
    place = torch.tensor([5, 0, 1, 4, 2, 3])
    total, normed = add_norm(x, Added(part, found, place), weight, 1e-5)
    torch.testing.assert_close(total, x + part + found[place[::2]] + found[place[1::2]])
    torch.testing.assert_close(normed, rms_norm(total, weight, 1e-5))


@pytest.mark.parametrize("kept_as", ["auto", "int8"])
def test_queries_come_back_and_keys_go_to_their_places(kept_as: str) -> None:
    torch.manual_seed(0)
    pages = pages_of(CONFIG, layout_of(CONFIG, 4), 4, torch.float32, kept_as)
    joined, positions, writes = torch.randn(3, 8, 8), torch.tensor([0, 7, 20]), torch.tensor([2, 9, 4])
    turns, heat = angles(positions, frequencies(CONFIG)), torch.tensor([1.0, 2.0, 3.0])
    q_bhd = turned(joined, Turn(4, turns, heat, None, False, 1e-5), pages, 0, writes)
    torch.testing.assert_close(q_bhd, rotate(joined[:, :4], turns) * heat[:, None, None])
    for found, meant in zip(pages.read(0, writes), (rotate(joined[:, 4:6], turns), joined[:, 6:]), strict=True):
        torch.testing.assert_close(found.transpose(0, 1), meant, atol=0.05 if kept_as == "int8" else 1e-6, rtol=0)


def test_rows_lie_behind_one_another_by_expert() -> None:
    x, logits = torch.arange(1.0, 5.0)[:, None], torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 1.0], [4.0, 0.0]])
    found = spread(x, logits, 1)
    scale = logits.amax(1).sigmoid()
    assert found.place_n.tolist() == [2, 0, 3, 1]
    torch.testing.assert_close(found.rows_nD[found.place_n][:, 0], x[:, 0] * scale)
    assert found.ends_e.tolist() == [2, 4]


def test_all_rows_lie_once_more_behind_the_others_as_they_are() -> None:
    x, logits = torch.arange(1.0, 4.0)[:, None], torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    found = spread_beside(x, logits)
    assert found.place_n.tolist() == [1, 3, 0, 4, 2, 5]
    assert found.ends_e.tolist() == [1, 3, 6]
    assert torch.equal(found.rows_nD[3:], x)
    scaled = x * logits.amax(1).sigmoid()[:, None]
    torch.testing.assert_close(found.rows_nD[found.place_n[::2]], scaled)
    total, _ = add_norm(x, Added(None, found.rows_nD, found.place_n), torch.ones(1), 1e-5)
    torch.testing.assert_close(total, 2 * x + scaled)


def test_a_gate() -> None:
    both: Tensor = torch.randn(3, 10)
    torch.testing.assert_close(gated(both), torch.nn.functional.silu(both[:, :5]) * both[:, 5:])
