"""Whole models in loops against the other implementation, wherever a step of a few rows may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.adapters import Adapter, load_adapter
from engine.fused.choose import form_on_processors
from engine.fused.runner import FEW, FusedRunner
from engine.kv_cache import KvCache
from engine.lanes import FIXED_PIECE
from engine.matrix import DTYPES
from engine.runner import ModelRunner, Run, Runner
from engine.slot import Slot
from engine.weights import load_weights
from tests.engine import adapting
from tests.engine.model_cases import RUNS, Pair, prompt, reserved
from tests.engine.scoring import Scorer
from tests.engine.test_repeatable import ARRIVALS, PROMPTS


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

    def cache(self, kept_as: str = "auto") -> KvCache:
        return KvCache(self.pair.config, 2048, self.dtype, kept_as=kept_as)

    def adapter(self, directory: Path, seed: int, **written: int) -> Adapter:
        prefix = "language_model." if self.pair.config.prefix else ""
        adapting.write(directory, self.pair.oracle, seed=seed, prefix=prefix, **written)
        return load_adapter(directory, self.pair.config, self.dtype)


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


def test_rows_with_adapters_and_without_get_what_the_merged_models_give(model: Model, tmp_path: Path) -> None:
    """Scattered over the step, pieces across borders of chunks and single tokens; logits come back in their order."""
    prefix = "language_model." if model.pair.config.prefix else ""
    adapters = [model.adapter(tmp_path / str(seed), seed, rank=seed + 1) for seed in (1, 4)]
    oracles = [adapting.merged(model.pair.oracle, tmp_path / str(seed), prefix) for seed in (1, 4)]
    worn, cache, runs, wanted = (None, 0, 1, None, 0), model.cache(), [], []
    for seed, which in enumerate(worn):
        ids, count = prompt(20 + 3 * seed, seed), 1 + 4 * (seed % 3)
        slot, adapter = reserved(cache, len(ids)), None if which is None else adapters[which]
        for begin in range(0, len(ids) - count, FEW):
            model.loops.step([Run(slot, ids[begin : min(begin + FEW, len(ids) - count)], adapter=adapter)])
        runs.append(Run(slot, ids[-count:], [count - 1], adapter))
        oracle = model.pair.oracle if which is None else oracles[which]
        with torch.inference_mode():
            wanted.append(oracle(torch.tensor([ids]), use_cache=False).logits[0, -1])
    close(model.loops.step(runs), torch.stack(wanted))


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.03), ("int8", 0.05), ("int4", 0.6)])
def test_fewer_bits_stay_as_near_as_in_torch(tmp_path: Path, precision: str, bound: float) -> None:
    model, ids = Model(tmp_path, "guard", precision), prompt(FEW)
    found = model.loops.step([Run(reserved(model.cache(), FEW), ids, range(FEW))])
    exact = model.pair.full(ids)
    assert 0 < (found - exact).square().mean().sqrt() < bound * exact.square().mean().sqrt()


@pytest.mark.parametrize(("precision", "kept_as"), [("fp32", "auto"), ("int8", "int8"), ("fp32", "fp8")])
def test_the_same_step_gives_the_same_bits(tmp_path: Path, precision: str, kept_as: str) -> None:
    model, ids = Model(tmp_path / "m", "scout", precision), prompt(20)
    adapter = model.adapter(tmp_path / "a", 1)
    runs = [[Run(reserved(model.cache(kept_as), 20), ids, range(20), adapter)] for _ in range(3)]
    first, *others = [model.loops.step(one) for one in runs]
    assert all(torch.equal(first, one) for one in others)


@pytest.mark.parametrize("arrive", ARRIVALS)
def test_repeatable_scores_do_not_depend_on_how_requests_arrive(tmp_path: Path, arrive: Callable[..., object]) -> None:
    """The last tokens of a prompt, and an answer's, are few rows: those go through loops, with keys in eight bits."""
    model = Model(tmp_path, "long_llama")
    runner = FusedRunner(model.pair.config, model.weights, model.torch)

    def scorer() -> Scorer:
        return Scorer(runner, KvCache(model.pair.config, 4096, grain=FIXED_PIECE, kept_as="int8"))

    expected = [scorer().scores(ids)[0] for ids in PROMPTS]
    found = arrive(scorer())
    assert isinstance(found, list)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


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


def test_many_rows_and_patches_go_another_way(tmp_path: Path) -> None:
    notes = Notes()
    model = Model(tmp_path, "scout", otherwise=notes)
    cache = model.cache()
    model.loops.step([Run(reserved(cache, 64), prompt(FEW + 1))])
    model.loops.step([Run(reserved(cache, 16), [9, -1])])
    assert notes.rows == [FEW + 1, 2]


class Twins:
    """The same steps in loops and through torch, each with a memory of its own; how far their logits are apart."""

    def __init__(self, model: Model, adapters: Sequence[Adapter | None], kept_as: str) -> None:
        self._runners, self._adapters = (model.loops, model.torch), adapters
        self._caches = [model.cache(kept_as) for _ in self._runners]
        self._texts: list[tuple[list[int], int]] = []

    def begin(self, ids: list[int], adapter: int) -> None:
        """Go on from what an earlier text with this adapter left behind."""
        self._texts.append((ids, adapter))

    def drawn(self, sizes: Sequence[int]) -> float:
        """All texts to their end, a piece of each in every step."""
        slots = []
        for cache in self._caches:
            found = [
                cache.reserve(len(ids), ids, len(ids) - 1, f"{which}", keeps_all=True) for ids, which in self._texts
            ]
            slots.append([slot for slot in found if slot is not None])
        assert all(len(one) == len(self._texts) for one in slots)
        assert [slot.filled for slot in slots[0]] == [slot.filled for slot in slots[1]]
        apart, number = 0.0, 0
        while any(slot.filled < slot.size for slot in slots[0]):
            number += 1
            both = [
                runner.step(self._runs(one, sizes[number % len(sizes)]))
                for runner, one in zip(self._runners, slots, strict=True)
            ]
            apart = max(apart, float((both[0] - both[1]).abs().max()))
        for cache, one in zip(self._caches, slots, strict=True):
            for slot, (ids, _) in zip(one, self._texts, strict=True):
                cache.release(slot, ids)
        self._texts = []
        return apart

    def _runs(self, slots: Sequence[Slot], size: int) -> list[Run]:
        parts = [
            (slot, ids[slot.filled : slot.filled + size], self._adapters[which])
            for slot, (ids, which) in zip(slots, self._texts, strict=True)
        ]
        return [Run(slot, part, range(len(part)), adapter) for slot, part, adapter in parts if part]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, list[Adapter | None]]:
    """Chunks of 16 and no routers: near ties between random experts flip at the smallest change of a kept key."""
    model = Model(tmp_path_factory.mktemp("plain"), "unrouted")
    adapters = [model.adapter(tmp_path_factory.mktemp("a"), seed, rank=seed) for seed in (2, 5)]
    return model, [None, *adapters]


TEXTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=4
)


@pytest.mark.parametrize(("kept_as", "most"), [("auto", 1e-4), ("int8", 0.1), ("fp8", 0.5)])
@settings(deadline=None, max_examples=5)
@given(rounds=st.lists(TEXTS, min_size=2, max_size=3), sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_any_mixed_steps_are_those_of_torch(
    plain: tuple[Model, list[Adapter | None]],
    kept_as: str,
    most: float,
    rounds: list[list[tuple[int, int, int, int]]],
    sizes: list[int],
) -> None:
    """Texts that share beginnings, with and without adapters, in pieces of any size, over borders of chunks."""
    twins = Twins(*plain, kept_as)
    for texts in rounds:
        for beginning, shared, own, adapter in texts:
            twins.begin([*prompt(50, beginning)[:shared], *prompt(own, 100 + own)], adapter)
        assert twins.drawn(sizes) < most
