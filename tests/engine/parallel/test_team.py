"""Two real processes compute one model: the logits of one process alone, and no answer when one of them is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.adapters import load_adapter
from engine.errors import EngineError, ModelRefused
from engine.generator import Options, load_generator
from engine.kv_cache import KvCache
from engine.mapped import MappedFiles
from engine.matrix import DTYPES, LAYS
from engine.model.decoder import ALONE
from engine.parallel.share import Share, divided
from engine.parallel.team import Task, Team
from engine.runner import ModelRunner, Run
from engine.weights import load_weights
from tests.engine import adapting
from tests.engine.model_cases import Pair, prompt, reserved

KV_BYTES = 4_000_000


@contextmanager
def team_of_two(directory: Path, offload: str = "") -> Iterator[Team]:
    team = Team(Task(directory, 2, "fp32", KV_BYTES, offload=offload, resident_bytes=1000))
    try:
        yield team
    finally:
        team.close()


def computed(pair: Pair, directory: Path, adapters: list[Path], team: Team | None, offload: str) -> Tensor:
    """A prompt over a border in pieces, a second sequence beside it, and one that takes over a part of the first.

    Then adapters beside one another, and beside a row without one.
    """
    share = Share(0, 1 if team is None else 2)
    config, mapped = divided(pair.config, share.world), MappedFiles(1000) if offload else None
    weights = load_weights(directory, pair.config, DTYPES["fp32"], LAYS["fp32"], mapped, share)
    runner = ModelRunner(config, weights, company=team or ALONE)
    cache = KvCache(config, 512)
    if team is not None:
        cache.pages.told = team.copied
    ids, other = prompt(60), prompt(21, seed=1)
    one, two = reserved(cache, 60), reserved(cache, 21)
    found = [runner.step([Run(one, ids[:33], [32]), Run(two, other[:20], [19])])]
    found += [runner.step([Run(one, [token], [0]), Run(two, other[20:], [0] * (not at))][: 2 - bool(at)])
              for at, token in enumerate(ids[33:])]  # fmt: skip
    cache.release(one, ids)
    third = cache.reserve(40, ids[:25], 25, keeps_all=True)
    assert third is not None
    assert third.taken_over == 25
    found.append(runner.step([Run(third, ids[25:40], range(15))]))
    loaded = [load_adapter(one, pair.config, torch.float32, share=share) for one in adapters]
    if team is not None:
        for adapter, place in zip(loaded, adapters, strict=True):
            team.add(adapter, place)
    for worn in ([loaded[0], None, loaded[1], loaded[0]], [loaded[1]]):
        found.append(runner.step([Run(reserved(cache, 20), prompt(20, seed), range(20), one)
                                  for seed, one in enumerate(worn)]))  # fmt: skip
    return torch.cat(found)


@pytest.mark.parametrize(("case", "offload"), [("scout", "experts"), ("llama", "")])
def test_two_processes_give_the_logits_of_one(tmp_path: Path, case: str, offload: str) -> None:
    base, names = tmp_path / "base", ("all", "some")
    pair = Pair(base, case)
    adapters = [adapting.write(tmp_path / name, pair.oracle, adapting.ALL[at * 3 :], rank=4 + at, seed=at)
                for at, name in enumerate(names)]  # fmt: skip
    alone = computed(pair, base, adapters, None, offload)
    with team_of_two(base, offload) as team:
        for _ in range(2):
            # The second time the adapters of the first are gone, and others are there.
            together = computed(pair, base, adapters, team, offload)
            torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
        was = load_adapter(adapters[0], pair.config, torch.float32, share=Share(0, 2))
        adapting.write(adapters[0], pair.oracle, seed=9)
        with pytest.raises(ModelRefused, match="ended before it was ready"):
            team.add(was, adapters[0])
        with pytest.raises(EngineError, match="lost"):
            team.copied(0, 16, 1)


def test_fewer_bits_and_a_whole_answer(tmp_path: Path) -> None:
    """Through the loader that the model host uses: int8 weights, keys in eight bits."""
    pair = Pair(tmp_path / "base", "guard")
    adapter = adapting.write(tmp_path / "adapter", pair.oracle, prefix="language_model.")
    options = Options(kv_bytes=KV_BYTES, precision="int8", kv_precision="int8", processes=2)
    generator = load_generator(tmp_path / "base", options)
    try:
        adapted, alone = generator.adapted(adapter), load_generator(tmp_path / "base", replace(options, processes=1))
        assert adapted.adapter is not None
        assert adapted.adapter.digest == load_adapter(adapter, pair.config, torch.float32).digest
        assert generator.lane.max_model_len == alone.lane.max_model_len
        with pytest.raises(ModelRefused):
            generator.adapted(tmp_path / "base")
    finally:
        assert generator.team is not None
        generator.team.close()


def test_a_lost_process_ends_all_steps(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "llama")
    with team_of_two(tmp_path) as team:
        weights = load_weights(tmp_path, pair.config, share=Share(0, 2))
        runner = ModelRunner(divided(pair.config, 2), weights, company=team)
        slot = reserved(KvCache(divided(pair.config, 2), 64), 8)
        runner.step([Run(slot, [9, 10], [1])])
        os.kill(team.pids[0], signal.SIGKILL)
        os.waitid(os.P_PID, team.pids[0], os.WEXITED | os.WNOWAIT)
        with pytest.raises((RuntimeError, OSError)):
            runner.step([Run(slot, [11], [0])])
        with pytest.raises(EngineError, match="lost"):
            runner.step([Run(slot, [11], [0])])


def test_a_step_that_ended_in_its_middle_ends_all_steps(tmp_path: Path) -> None:
    """The others still wait for its sums; the rows of another step are not what they expect."""
    pair = Pair(tmp_path, "llama")
    with team_of_two(tmp_path) as team:
        config = divided(pair.config, 2)
        weights = load_weights(tmp_path, pair.config, share=Share(0, 2))
        broken = replace(weights, layers=(weights.layers[0], replace(weights.layers[1], out=torch.zeros(1, 1))))
        slot = reserved(KvCache(config, 64), 8)
        with pytest.raises(RuntimeError):
            ModelRunner(config, broken, company=team).step([Run(slot, [9, 10], [1])])
        with pytest.raises(EngineError, match="lost"):
            ModelRunner(config, weights, company=team).step([Run(slot, [9, 10], [1])])


def test_a_checkpoint_that_cannot_be_divided_is_refused_before_anything_starts(tmp_path: Path) -> None:
    Pair(tmp_path, "llama_wide_heads")
    with pytest.raises(ModelRefused, match="num_key_value_heads"):
        load_generator(tmp_path, Options(kv_bytes=KV_BYTES, processes=2))


def test_a_process_that_cannot_load_its_share_is_a_refusal(tmp_path: Path) -> None:
    Pair(tmp_path, "llama")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises((ModelRefused, RuntimeError)):
        Team(Task(tmp_path, 2, "fp32", KV_BYTES))
