"""A step returns logits for those who want them, in order, and advances only what has run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.runner import Run
from tests.engine.model_cases import Pair, prompt, reserved


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    directory: Path = tmp_path_factory.mktemp("m")
    return Pair(directory)


def test_only_wanted_rows_come_back_in_order(pair: Pair) -> None:
    cache = pair.cache()
    first, second, third = (reserved(cache, 20) for _ in range(3))
    logits = pair.runner.step(
        [Run(first, prompt(5, 1), [2, 4]), Run(second, prompt(9, 2)), Run(third, prompt(3, 3), [2])]
    )

    assert logits.shape == (3, 320)
    assert logits.dtype == torch.float32
    assert [slot.filled for slot in (first, second, third)] == [5, 9, 3]
    for row, ids in zip(logits, (prompt(5, 1)[:3], prompt(5, 1), prompt(3, 3)), strict=True):
        torch.testing.assert_close(row, pair.last(ids), atol=1e-4, rtol=0)


def test_a_step_without_wanted_rows_fills_the_cache_only(pair: Pair) -> None:
    slot = pair.slot(20)
    assert pair.runner.step([Run(slot, prompt(4))]).shape == (0, 320)
    assert slot.filled == 4


def test_a_step_that_fails_advances_nothing(pair: Pair) -> None:
    slot = pair.slot(4)
    with pytest.raises(ValueError, match="longer than its slot"):
        pair.runner.step([Run(slot, prompt(9), [8])])
    assert slot.filled == 0
