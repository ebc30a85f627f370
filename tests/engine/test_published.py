"""What is built in reads as a checkpoint's own configuration does."""

from __future__ import annotations

import pytest

from engine.config import parse_config
from engine.published import PUBLISHED


@pytest.mark.parametrize(("name", "moe", "chunked"), [("scout", 48, 36), ("maverick", 24, 36), ("llama-guard-4", 0, 0)])
def test_layers_are_of_the_published_kinds(name: str, moe: int, chunked: int) -> None:
    layers = parse_config(PUBLISHED[name]).layers
    assert sum(layer.is_moe for layer in layers) == moe
    assert sum(layer.chunk == 8192 for layer in layers) == chunked
    assert sum(layer.chunk is None for layer in layers) == 48 - chunked


def test_maverick_routes_in_odd_layers() -> None:
    assert [layer.is_moe for layer in parse_config(PUBLISHED["maverick"]).layers[:4]] == [False, True, False, True]
