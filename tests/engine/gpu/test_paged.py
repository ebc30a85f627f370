"""One token of each sequence over blocks that lie anywhere: the same as over the sequence's keys in a row."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.gpu.paged import decode_attention


def test_blocks_that_lie_anywhere_are_read_in_the_order_of_the_table() -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(2, 2, 160, 8)
    q, places, lengths = torch.randn(3, 6, 8), torch.randperm(10)[:9].view(3, 3) * 16, torch.tensor([1, 33, 48])
    found = decode_attention(q, keys, values, places.int(), lengths.int(), 16)
    for row, length in enumerate(lengths.tolist()):
        at = (places[row][:, None] + torch.arange(16)).flatten()[:length]
        exact = F.scaled_dot_product_attention(
            q[row][:, None], keys[:, at].repeat_interleave(3, 0), values[:, at].repeat_interleave(3, 0)
        )
        torch.testing.assert_close(found[row], exact[:, 0])


def test_a_row_that_only_fills_up_gets_zeros() -> None:
    keys = torch.full((1, 32, 4), float("nan"))
    found = decode_attention(torch.randn(1, 2, 4), keys, keys, torch.zeros(1, 2).int(), torch.zeros(1).int(), 16)
    assert not found.any()


@pytest.mark.parametrize("first", [0, 5, 16, 20])
def test_what_lies_before_the_first_position_is_not_seen(first: int) -> None:
    torch.manual_seed(first)
    q, keys, values = torch.randn(1, 2, 8), torch.randn(2, 32, 8), torch.randn(2, 32, 8)
    places, lengths = torch.tensor([[0, 16]]).int(), torch.tensor([21]).int()
    found = decode_attention(q, keys, values, places, lengths, 16, firsts_b=torch.tensor([first]).int())
    exact = F.scaled_dot_product_attention(q[0][:, None], keys[:, first:21], values[:, first:21])
    torch.testing.assert_close(found[0], exact[:, 0])
