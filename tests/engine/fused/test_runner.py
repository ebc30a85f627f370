"""Whole models in loops against the other implementation, wherever a step of a few rows may go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.fused.choose import form_on_processors
from engine.fused.runner import FEW, FusedRunner
from engine.kv_cache import KvCache
from engine.matrix import DTYPES
from engine.runner import ModelRunner, Run, Runner
from engine.weights import load_weights
from tests.engine.model_cases import RUNS, Pair, prompt, reserved


class Refuses:
    """Nothing may come here."""

    def step(self, runs: Sequence[Run]) -> Tensor:
        raise AssertionError("this step was for the loops")


class Model:
    """A checkpoint in loops, and in torch with the same weights."""

    def __init__(self, directory: Path, case: str, precision: str = "fp32", otherwise: Runner | None = None) -> None:
        self.pair, self.dtype = Pair(directory, case), DTYPES[precision]
        self.weights = load_weights(
            directory, self.pair.config, self.dtype, form_on_processors(precision, in_loops=True)
        )
        self.torch = ModelRunner(self.pair.config, self.weights)
        self.loops = FusedRunner(self.pair.config, self.weights, otherwise or Refuses())

    def cache(self) -> KvCache:
        return KvCache(self.pair.config, 2048, self.dtype)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.fixture(scope="module", params=RUNS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize("size", [1, 7, FEW])
def test_a_text_in_pieces_across_borders_gives_the_oracles_logits(model: Model, size: int) -> None:
    ids = prompt(70)
    slot = reserved(model.cache(), 70)
    parts = [ids[at : at + size] for at in range(0, 70, size)]
    found = torch.cat([model.loops.step([Run(slot, part, range(len(part)))]) for part in parts])
    close(found, model.pair.full(ids))
    assert slot.filled == 70


def test_sequences_in_one_step_get_what_they_get_alone(model: Model) -> None:
    texts, cache = [prompt(20, 1), prompt(34, 2), prompt(18, 3)], model.cache()
    slots = [reserved(cache, 40) for _ in texts]
    for slot, ids in zip(slots, texts, strict=True):
        model.torch.step([Run(slot, ids[:-4])])
    runs = [Run(slot, ids[-4:], [3]) for slot, ids in zip(slots, texts, strict=True)]
    for row, ids in zip(model.loops.step(runs), texts, strict=True):
        close(row, model.pair.full(ids)[-1])


def test_steps_of_both_kinds_read_each_others_keys(model: Model) -> None:
    ids, slot = prompt(60, 4), reserved(model.cache(), 60)
    model.loops.step([Run(slot, ids[:9])])
    model.torch.step([Run(slot, ids[9:50])])
    close(model.loops.step([Run(slot, ids[50:], [9])])[0], model.pair.full(ids)[-1])


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.03), ("int8", 0.05), ("int4", 0.6)])
def test_fewer_bits_stay_as_near_as_in_torch(tmp_path: Path, precision: str, bound: float) -> None:
    model, ids = Model(tmp_path, "guard", precision), prompt(FEW)
    found = model.loops.step([Run(reserved(model.cache(), FEW), ids, range(FEW))])
    exact = model.pair.full(ids)
    assert 0 < (found - exact).square().mean().sqrt() < bound * exact.square().mean().sqrt()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_same_step_gives_the_same_bits(tmp_path: Path, precision: str) -> None:
    model, ids = Model(tmp_path, "scout", precision), prompt(20)
    runs = [[Run(reserved(model.cache(), 20), ids, range(20))] for _ in range(3)]
    first, *others = [model.loops.step(one) for one in runs]
    assert all(torch.equal(first, one) for one in others)


def test_what_is_no_number_is_told_and_nobody_elses(tmp_path: Path) -> None:
    model = Model(tmp_path, "scout")
    embedding_vD = model.weights.embedding_vD.clone()
    embedding_vD[7] = float("nan")
    loops = FusedRunner(model.pair.config, replace(model.weights, embedding_vD=embedding_vD), Refuses())
    cache = model.cache()
    ids = [[9, 10], [9, 7]]
    sound, broken = loops.step([Run(reserved(cache, 2), one, [1]) for one in ids])
    assert broken.isnan().all()
    close(sound, model.pair.full(ids[0])[-1])


def test_a_slot_without_room_is_an_error_and_nothing_is_advanced(tmp_path: Path) -> None:
    model = Model(tmp_path, "scout")
    slot = reserved(model.cache(), 16)
    with pytest.raises(ValueError, match="longer than its slot"):
        model.loops.step([Run(slot, prompt(17), [0])])
    assert slot.filled == 0


class Notes:
    """What came here."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def step(self, runs: Sequence[Run]) -> Tensor:
        self.rows.append(sum(len(run.ids) for run in runs))
        return torch.empty(0)


def test_many_rows_patches_and_other_memories_go_another_way(tmp_path: Path) -> None:
    notes = Notes()
    model = Model(tmp_path, "scout", otherwise=notes)
    cache = model.cache()
    short = KvCache(model.pair.config, 256, kept_as="int8")
    model.loops.step([Run(reserved(cache, 64), prompt(FEW + 1))])
    model.loops.step([Run(reserved(cache, 16), [9, -1])])
    model.loops.step([Run(reserved(short, 16), [9])])
    assert notes.rows == [FEW + 1, 2, 1]
