"""Attention in a packed batch is attention of each text alone, in both number formats."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.classifiers.attention import Attention
from engine.classifiers.layout import lay_out
from tests.engine.classifiers.families_of import texts

HEADS, WIDTH = 2, 8


class DistanceTerm:
    """Scores fall with distance, in each head at its own rate."""

    def __call__(self, q_hnLd: Tensor, k_hnLd: Tensor) -> Tensor:
        heads, count, length, _ = q_hnLd.shape
        place = torch.arange(length)
        distance = (place[:, None] - place[None, :]).to(q_hnLd.dtype)
        rate = torch.linspace(0.1, 0.2, heads, dtype=q_hnLd.dtype)
        return (-rate[:, None, None, None] * distance).expand(heads, count, length, length).contiguous()


def alone(qkv_t: Tensor, with_term: bool) -> Tensor:
    """The definition, for one text."""
    q, k, v = qkv_t.view(len(qkv_t), 3, HEADS, WIDTH).permute(1, 2, 0, 3)
    scores = q @ k.transpose(1, 2)
    if with_term:
        scores = scores + DistanceTerm()(q[:, None], k[:, None])[:, 0]
    return (scores.softmax(-1) @ v).permute(1, 0, 2).reshape(len(qkv_t), -1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("with_term", [True, False])
def test_neighbours_in_a_batch_do_not_see_each_other(dtype: torch.dtype, tolerance: float, with_term: bool) -> None:
    torch.manual_seed(0)
    layout = lay_out(texts(), fill_id=0)
    qkv_t = torch.randn(len(layout.ids_t), 3 * HEADS * WIDTH) * 0.7

    found = Attention(HEADS, DistanceTerm() if with_term else None)(qkv_t.to(dtype), layout)

    sizes = [*layout.lengths, layout.filling]
    for rows, context in zip(qkv_t.split(sizes), found.split(sizes), strict=True):
        if len(rows) and context.any():
            assert (context.float() - alone(rows, with_term)).abs().max() < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_padding_and_filling_are_numbers(dtype: torch.dtype) -> None:
    """A fully masked row of minus infinities would be NaN, and NaN times zero is NaN."""
    layout = lay_out([[1] * 20, [1] * 19, [1]], fill_id=0)
    qkv_t = torch.full((len(layout.ids_t), 3 * HEADS * WIDTH), 30.0, dtype=dtype)

    found = Attention(HEADS)(qkv_t, layout)

    assert torch.isfinite(found).all()
    assert found.shape == (len(layout.ids_t), HEADS * WIDTH)
    assert not found[-layout.filling :].any()
