"""A step returns logits for those who want them, in order, and advances only what has run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.adapters import load_adapter
from engine.runner import Run
from tests.engine import adapting
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


def test_runs_with_and_without_adapters_share_a_step(pair: Pair, tmp_path: Path) -> None:
    """Base and two adapters mixed, prompts in pieces beside single tokens: each as its merged model alone."""
    written = [adapting.write(tmp_path / str(seed), pair.oracle, seed=seed, rank=2 + seed) for seed in range(2)]
    adapters = [load_adapter(directory, pair.config, torch.float32) for directory in written]
    models = [pair.oracle, *(adapting.merged(pair.oracle, directory) for directory in written)]
    cache = pair.cache()
    asked = [(ids, which) for which in (1, 0, 2) for ids in (prompt(37, which), prompt(9, which + 5), prompt(21))]
    asked = [asked[at] for at in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    slots = [reserved(cache, 40) for _ in asked]
    sizes = (20, 5, 40)
    while any(slot.filled < len(ids) for slot, (ids, _) in zip(slots, asked, strict=True)):
        runs, expected = [], []
        for at, (slot, (ids, which)) in enumerate(zip(slots, asked, strict=True)):
            part = ids[slot.filled : slot.filled + sizes[at % 3]]
            if part:
                runs.append(Run(slot, part, [len(part) - 1], ([None, *adapters])[which]))
                before = torch.tensor([ids[: slot.filled + len(part)]])
                expected.append(models[which](before, use_cache=False).logits[0, -1].detach())
        found = pair.runner.step(runs)
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=0)
