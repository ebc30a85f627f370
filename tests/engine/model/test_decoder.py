"""Our forward pass against transformers', in fp32, where models are easy to get wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.kv_cache import KvCache
from engine.model.decoder import temperature
from engine.runner import ModelRunner, Run
from tests.engine.model_cases import RUNS, Pair, prompt, reserved

TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=RUNS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 40, 70])
def test_a_full_pass_gives_the_oracles_logits(pair: Pair, length: int) -> None:
    ids = prompt(length)
    close(pair.last(ids), pair.full(ids)[-1])


@pytest.mark.parametrize("pieces", [(1, 7, 16), (20, 3), (33,), (16, 16, 16)])
def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(pair: Pair, pieces: tuple[int, ...]) -> None:
    ids = prompt(50)
    close(pair.last(ids, pieces), pair.full(ids)[-1])


def test_decoding_across_chunk_borders_equals_full_passes_of_growing_length(pair: Pair) -> None:
    """With a cache the borders at 16 and 32 fall between two steps; each step must still forget what lies before."""
    ids = prompt(40, seed=3)
    slot = pair.slot(40)
    theirs = pair.full(ids)
    close(pair.runner.step([Run(slot, ids[:13], [12])])[0], theirs[12])
    for at in range(13, 40):
        close(pair.runner.step([Run(slot, [ids[at]], [0])])[0], theirs[at])


def test_sequences_in_one_step_do_not_see_each_other(pair: Pair) -> None:
    """A prompt, a piece of another, and a next token, packed: each gets what it gets alone."""
    short, long, running = prompt(5, 1), prompt(45, 2), prompt(34, 3)
    cache = pair.cache()
    slots = [reserved(cache, len(ids)) for ids in (short, long, running)]
    pair.runner.step([Run(slots[1], long[:10]), Run(slots[2], running[:33])])
    runs = [Run(slots[0], short, [4]), Run(slots[1], long[10:], [34]), Run(slots[2], running[33:], [0])]

    together = pair.runner.step(runs)

    for row, ids in zip(together, (short, long, running), strict=True):
        torch.testing.assert_close(row, pair.last(ids), atol=1e-4, rtol=0)
        close(row, pair.full(ids)[-1])


def test_temperature_is_one_until_the_floor_and_then_grows(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "scout")
    found = temperature(pair.config, torch.tensor([0, 6, 7, 15]))
    assert found.tolist() == pytest.approx([1, 1, 1 + 0.1 * 0.6931472, 1 + 0.1 * 1.0986123])


def test_without_a_chunk_size_the_first_token_is_seen_from_beyond_8192(tmp_path: Path) -> None:
    """Llama Guard 4 is published with null. Taken for 8192, its policy would be out of sight in a long conversation."""

    def last(ids: list[int], chunk: int | None) -> torch.Tensor:
        layers = tuple(replace(layer, chunk=chunk) for layer in pair.config.layers[:1])
        config = replace(pair.config, layers=layers, max_positions=10_000)
        weights = replace(pair.weights, layers=pair.weights.layers[:1])
        slot = reserved(KvCache(config, len(ids) + 16), len(ids))
        runner = ModelRunner(config, weights)
        for at in range(0, len(ids), 256):
            logits = runner.step([Run(slot, ids[at : at + 256], [len(ids[at : at + 256]) - 1])])
        return logits[0]

    pair = Pair(tmp_path, "guard")
    assert {layer.chunk for layer in pair.config.layers} == {None}
    one, other = prompt(8200), prompt(8200)
    other[:200] = [11] * 200

    assert not torch.allclose(last(one, None), last(other, None), atol=1e-4)
    assert torch.allclose(last(one, 8192), last(other, 8192), atol=1e-6)
