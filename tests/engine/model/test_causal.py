"""The last tokens of a text, and what each may see: by definition, whatever way it is computed."""

from __future__ import annotations

import pytest
import torch

from engine.model.causal import FAR, ROWS, causal


def by_definition(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Each token for itself, each head for itself, in 64 bits."""
    count, heads, d = q.shape
    kv_heads, places, _ = keys.shape
    out = torch.empty(count, heads, d, dtype=torch.float64)
    for row in range(count):
        seen = places - count + row + 1
        for head in range(heads):
            shared = head * kv_heads // heads
            scores = keys[shared, :seen].double() @ q[row, head].double() / d**0.5
            out[row, head] = scores.softmax(-1) @ values[shared, :seen].double()
    return out


def drawn(count: int, places: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(count + places)
    q, keys, values = torch.randn(count, 4, 8), torch.randn(2, places + 3, 8), torch.randn(2, places + 3, 8)
    return q.to(dtype), keys.to(dtype)[:, :places], values.to(dtype)[:, :places]


@pytest.mark.parametrize(
    ("count", "places"),
    [(1, 1), (1, 300), (2, 2), (7, 40), (ROWS, ROWS), (ROWS + 1, ROWS + 1), (2 * ROWS + 5, 3 * ROWS), (70, FAR + 10)],
)
def test_each_token_sees_itself_and_what_came_before(count: int, places: int) -> None:
    q, keys, values = drawn(count, places, torch.float32)
    torch.testing.assert_close(causal(q, keys, values).double(), by_definition(q, keys, values), atol=2e-5, rtol=0)


@pytest.mark.parametrize("places", [200, FAR + 10])
def test_scores_of_sixteen_bits_are_not_rounded_before_the_softmax(places: int) -> None:
    q, keys, values = drawn(70, places, torch.bfloat16)
    off = (causal(4 * q, keys, values).double() - by_definition(4 * q, keys, values)).abs()
    # Scores rounded to 8 bits would be off by several hundredths here.
    assert off.mean() < 0.003
    assert off.max() < 0.03
