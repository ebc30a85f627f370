"""Adapters add to their rows what they should, and multiply nothing for rows that are not theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.adapters import Adapter, load_adapter
from engine.model.low_rank import UNCHANGED, Adapted, LowRank, Place, joined
from engine.runner import Run
from tests.engine import adapting
from tests.engine.model_cases import Pair, prompt


def low(*outputs: tuple[int, int], inputs: int = 3, rank: int = 2) -> LowRank:
    return joined(
        [(slice(start, stop), torch.randn(rank, inputs), torch.randn(rank, stop - start)) for start, stop in outputs]
    )


def test_rows_and_columns_get_their_own_share_only() -> None:
    one, other = low((0, 2), (4, 5)), low((0, 5))
    x, base = torch.randn(6, 3), torch.randn(6, 5)
    adapted = Adapted([(slice(1, 3), {Place.QKV: one}), (slice(3, 6), {Place.QKV: other, Place.OUT: one})])

    found = adapted.add(Place.QKV, base.clone(), x)

    expected = base.clone()
    expected[1:3, :2] += x[1:3] @ one.down_ri[:2].T @ one.parts[0].up_ro
    expected[1:3, 4:] += x[1:3] @ one.down_ri[2:].T @ one.parts[1].up_ro
    expected[3:] += x[3:] @ other.down_ri.T @ other.parts[0].up_ro
    torch.testing.assert_close(found, expected)
    assert torch.equal(adapted.add(Place.DOWN, base.clone(), x), base)
    assert torch.equal(UNCHANGED.add(Place.QKV, base.clone(), x), base)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("m"), "llama")


def flops(pair: Pair, adapters: Sequence[Adapter | None]) -> int:
    """Multiplications and additions of one step, a prompt of eleven tokens for each."""
    cache = pair.cache()
    slots = [cache.reserve(11) for _ in adapters]
    runs = [Run(slot, prompt(11, 9), (), adapter) for slot, adapter in zip(slots, adapters, strict=True) if slot]
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: _in_place}) as counter:
        pair.runner.step(runs)
    return int(counter.get_total_flops())


def _in_place(to: torch.Size, one: torch.Size, other: torch.Size, out_shape: object = None) -> int:
    """The counter knows `addmm`, and not the one that adds where it lies."""
    return 2 * one[0] * one[1] * other[1]


def test_rows_without_an_adapter_cost_nothing_more(pair: Pair, tmp_path: Path) -> None:
    """The base is computed once; each adapter's rows add rank times inputs plus outputs, whoever is beside them."""
    names = ("q_proj", "o_proj", "down_proj")
    one, other = (
        load_adapter(
            adapting.write(tmp_path / str(seed), pair.oracle, names, rank=rank, seed=seed), pair.config, torch.float32
        )
        for seed, rank in enumerate((2, 4))
    )
    plain = flops(pair, [None] * 5)
    per_rank = 2 * 11 * len(pair.config.layers) * ((32 + 32) + (32 + 32) + (48 + 32))

    assert flops(pair, [None, None, one, None, None]) - plain == 2 * per_rank
    assert flops(pair, [one, other, None, one, other]) - plain == (2 + 2 + 4 + 4) * per_rank


def test_rows_of_one_adapter_are_one_multiplication(pair: Pair, tmp_path: Path) -> None:
    """However they are scattered over the batch: two matrices for each projection, not two for each sequence."""
    adapter = load_adapter(adapting.write(tmp_path, pair.oracle, ("v_proj",)), pair.config, torch.float32)
    counted = []
    for batch in ([None] * 6, [adapter, None] * 3):
        cache = pair.cache()
        slots = [cache.reserve(5) for _ in batch]
        runs = [Run(slot, prompt(5), (), one) for slot, one in zip(slots, batch, strict=True) if slot]
        with torch.profiler.profile() as profile:
            pair.runner.step(runs)
        named = {event.key: event.count for event in profile.key_averages()}
        counted.append(named.get("aten::mm", 0) + named.get("aten::addmm", 0) + named.get("aten::addmm_", 0))

    assert counted[1] - counted[0] == 2 * len(pair.config.layers)
