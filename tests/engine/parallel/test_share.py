"""Shares are equal and cover everything once; a model that has no equal shares is refused by what is in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.errors import ModelRefused
from engine.parallel.share import WHOLE, Share, divided
from tests.engine.stand_ins import small_config


def test_shares_lie_behind_one_another_and_are_the_whole() -> None:
    whole = torch.arange(24).view(2, 12)
    parts = [Share(rank, 3).of(whole, 1) for rank in range(3)]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert torch.equal(WHOLE.of(whole, 0), whole)


def test_each_process_has_its_heads_and_its_width() -> None:
    config = small_config(heads=4, kv_heads=2, head_dim=8)
    part = divided(config, 2)
    assert (part.heads, part.kv_heads, part.mlp_width) == (2, 1, config.mlp_width // 2)
    assert (part.hidden, part.head_dim, part.vocabulary) == (config.hidden, config.head_dim, config.vocabulary)
    assert divided(config, 1) == config


@pytest.mark.parametrize(("world", "what"), [(3, "num_attention_heads"), (4, "num_key_value_heads")])
def test_what_cannot_be_divided_is_named(world: int, what: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        divided(small_config(heads=4, kv_heads=2, head_dim=8), world)
    assert (caught.value.code, what in caught.value.problem) == ("parallel_unsupported", True)


def test_the_width_of_an_expert_counts_where_there_are_experts() -> None:
    config = small_config(heads=4, kv_heads=2, head_dim=8)
    moe = replace(config, layers=tuple(replace(one, is_moe=True) for one in config.layers), experts=2, expert_width=7)
    with pytest.raises(ModelRefused, match="width of an expert"):
        divided(moe, 2)
