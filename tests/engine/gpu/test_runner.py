"""Whole answers, in both kinds of steps, are those of the processor's own runner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.adapters import load_adapter
from engine.device import CPU
from engine.errors import MemoryExhausted
from engine.kv_cache import KvCache
from engine.runner import Run, Runner
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from tests.engine import adapting
from tests.engine.gpu.stepping import GPU, OnGpu
from tests.engine.model_cases import prompt, reserved
from tests.engine.stand_ins import Heard
from tests.engine.test_preemption import LITTLE, PLENTY, STOP_IDS, requests, tokenizer, told


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OnGpu:
    return OnGpu(tmp_path_factory.mktemp("m"))


def test_pieces_and_next_tokens_share_a_step(model: OnGpu, tmp_path: Path) -> None:
    """Answers, prompts in pieces, and one token with an adapter, in an order that mixes them."""
    cache = model.cache()
    runner = model.runner(cache)
    adapter = load_adapter(adapting.write(tmp_path, model.pair.oracle), model.config, torch.float32)
    texts = [prompt(20 + at, at) for at in range(4)]
    slots = [reserved(cache, 40) for _ in texts]
    runner.step([Run(slot, ids[:-1]) for slot, ids in zip(slots[:2], texts[:2], strict=True)])
    found = runner.step(
        [
            Run(slots[2], texts[2], [5, 21]),
            Run(slots[0], texts[0][-1:], [0]),
            Run(slots[3], texts[3][:1], [0], adapter),
            Run(slots[1], texts[1][-1:], [0]),
        ]
    )

    merged = adapting.merged(model.pair.oracle, tmp_path)(torch.tensor([texts[3][:1]])).logits[0].detach()
    full = [model.pair.full(ids) for ids in texts]
    wanted = torch.stack([full[2][5], full[2][21], full[0][-1], merged[0], full[1][-1]])
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)
    assert [slot.filled for slot in slots] == [20, 21, 22, 1]


def test_pieces_of_many_lengths_leave_the_memory_as_it_was(model: OnGpu) -> None:
    cache = model.cache(300)
    model.runner(cache).warm_up(cache)
    assert (cache.held, cache.kept, cache.reserved) == (0, 0, 0)


def answers(
    model: OnGpu, runner: Runner, cache: KvCache, adapter_at: Path, device: torch.device = CPU, is_greedy: bool = False
) -> list[tuple[str, list[int]]]:
    adapter = load_adapter(adapter_at, model.config, torch.float32, device)
    lane = GenerateLane(runner, cache, 10_000, step_tokens=24)
    asked = requests(adapter)
    if is_greedy:
        # Each kind of device draws its own numbers.
        asked = [replace(one, sampling=replace(one.sampling, temperature=0)) for one in asked]
    heard = [Heard() for _ in asked]
    lane.add([Sequence(one, tokenizer(), STOP_IDS, ear) for one, ear in zip(asked, heard, strict=True)])
    while (work := lane.next(0)) is not None:
        work.run()
    assert (lane.pending, lane.reserved, cache.held) == (0, 0, 0)
    return [(text, [one.token for one in tokens]) for text, tokens, _ in map(told, heard)]


def test_answers_are_the_same_whatever_they_ask_for(model: OnGpu, tmp_path: Path) -> None:
    """With seeds, penalties, grammars and adapters, prefixes taken over, and yielding, because room is short."""
    adapter_at, plain = adapting.write(tmp_path / "adapter", model.pair.oracle), model.pair.cache(PLENTY)
    expected = answers(model, model.pair.runner, plain, adapter_at)
    cache = model.cache(LITTLE)
    assert answers(model, model.runner(cache), cache, adapter_at) == expected


@pytest.mark.parametrize("device", [GPU])
def test_without_a_draw_they_are_the_same_on_any_device(device: torch.device, tmp_path: Path) -> None:
    """Its twin is above."""
    model = OnGpu(tmp_path / "m", "maverick", device)
    adapter_at = adapting.write(tmp_path / "adapter", model.pair.oracle)
    expected = answers(model, model.pair.runner, model.pair.cache(PLENTY), adapter_at, is_greedy=True)
    cache = model.cache(PLENTY)
    assert answers(model, model.runner(cache), cache, adapter_at, device, is_greedy=True) == expected


@pytest.mark.parametrize("device", [GPU])
def test_a_step_that_does_not_fit_advances_nothing(device: torch.device, tmp_path: Path) -> None:
    """Its twin on a processor is tests/engine/test_step.py, whose allocator is asked for too much."""
    model = OnGpu(tmp_path, "scout", device)
    cache = model.cache(8192)
    slots, runner = [reserved(cache, 200) for _ in range(30)], model.runner(cache)
    runner.step([Run(slots[0], prompt(20), [19])])
    torch.cuda.empty_cache()
    # No more than there is: the logits of 6,000 tokens need a piece of their own.
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(MemoryExhausted):
            runner.step([Run(slot, prompt(200), range(200)) for slot in slots[1:]])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [slot.filled for slot in slots] == [20, *[0] * 29]
    assert runner.step([Run(slots[1], prompt(20), [19])]).isfinite().all()
