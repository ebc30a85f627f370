"""Numbers that do not fit together are refused by the name of their key."""

from __future__ import annotations

import pytest

from engine.errors import ModelRefused
from engine.shape import LayerConfig
from tests.engine.stand_ins import small_config


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden": 0}, "hidden"),
        ({"kv_heads": 3}, "num_key_value_heads"),
        ({"head_dim": 3}, "head_dim"),
        ({"layers": ()}, "num_hidden_layers"),
        ({"experts_per_token": 3}, "num_experts_per_tok"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        small_config(**changes)
    assert (caught.value.code, named in caught.value.problem) == ("config_invalid", True)


def test_a_position_needs_a_key_and_a_value_for_every_layer() -> None:
    layer = LayerConfig(uses_rope=True, chunk=None, is_moe=False)
    assert small_config(layers=(layer,) * 3, kv_heads=2, head_dim=8).values_per_position == 2 * 3 * 2 * 8
