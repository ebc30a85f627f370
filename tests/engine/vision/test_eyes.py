"""What a model says of pictures is what transformers' model says of the same pixels, however they go through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.events import Finished, GenerateRequest, Sampling
from engine.generator import Generator, Options, load_generator
from engine.kv_cache import KvCache
from engine.runner import Run
from engine.scheduler import GenerateLane
from engine.vision.eyes import Eyes
from engine.vision.prompt import Placed
from engine.vision.tiles import Picture, cut
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import Heard
from tests.engine.vision import seeing

CLOSE = 2e-4
ENOUGH = Options(kv_bytes=10_000_000)


class Shown:
    """A prompt of texts and pictures, for us and for transformers."""

    def __init__(self, model: Generator, *parts: str | Picture) -> None:
        assert model.eyes is not None
        self.ids: list[int] = []
        self.pictures: list[Placed] = []
        self.tiles: list[Tensor] = []
        for part in parts:
            if isinstance(part, str):
                self.ids += model.tokenizer.content(part)
                continue
            ids, placed = model.eyes.format.place(part)
            self.pictures.append(placed.moved(len(self.ids)))
            self.ids += ids
            self.tiles.append(part.tiles)

    def full(self, oracle: Any, more: list[int]) -> Tensor:
        """transformers' logits of the prompt and more tokens, without a cache."""
        patch = oracle.config.image_token_index
        ids = torch.tensor([[patch if token < 0 else token for token in self.ids] + more])
        pixels = (torch.cat(self.tiles).float() / 255 - 0.5) / 0.5 if self.tiles else None
        with torch.inference_mode():
            logits: Tensor = oracle(input_ids=ids, pixel_values=pixels, use_cache=False).logits[0]
        return logits

    def run(self, slot: Any, ids: list[int]) -> Run:
        return Run(slot, ids, range(len(ids)), None, self.pictures)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Generator, Any]:
    directory = tmp_path_factory.mktemp("seeing")
    oracle = seeing.llama4(directory)
    return load_generator(directory, ENOUGH), oracle


def eyes_of(model: Generator) -> Eyes:
    assert model.eyes is not None
    return model.eyes


def picture(width: int, height: int, seed: int = 1) -> Picture:
    return cut(seeing.noise(width, height, seed), seeing.SIDE)


def stepped(model: Generator, shown: Shown, more: list[int], sizes: list[int]) -> Tensor:
    """Our logits of all tokens, fed in pieces."""
    slot = reserved(model.lane.cache, len(shown.ids) + len(more))
    ids, rows = shown.ids + more, []
    for size in [*sizes, *[1] * len(more)]:
        rows.append(model.lane._runner.step([shown.run(slot, ids[slot.filled : slot.filled + size])]))
    model.lane.cache.release(slot)
    return torch.cat(rows)


@pytest.mark.parametrize("piece", [256, 1, 7, 20])
def test_logits_are_those_of_transformers_in_a_full_pass_and_beyond(pair: tuple[Generator, Any], piece: int) -> None:
    model, oracle = pair
    shown = Shown(model, "look: ", picture(40, 24), " and ", picture(9, 9, 2), " say what the gate does")
    sizes = [piece] * (len(shown.ids) // piece) + [rest for rest in [len(shown.ids) % piece] if rest]
    more = [300, 17, 45]

    found = stepped(model, shown, more, sizes)
    assert len(shown.tiles[0]) > 5
    torch.testing.assert_close(found, shown.full(oracle, more), atol=CLOSE, rtol=0)


def test_a_row_that_sees_and_one_that_reads_share_a_step(pair: tuple[Generator, Any]) -> None:
    model, oracle = pair
    sees, reads = Shown(model, "the ", picture(30, 50), " fox"), Shown(model, "the quick brown fox asks")
    other = Shown(model, picture(30, 50, 3), "hello")
    slots = [reserved(model.lane.cache, 200) for _ in range(3)]
    runs = [one.run(slot, one.ids) for one, slot in zip((reads, sees, other), slots, strict=True)]
    found = model.lane._runner.step(runs)
    for slot in slots:
        model.lane.cache.release(slot)
    expected = torch.cat([one.full(oracle, []) for one in (reads, sees, other)])
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)


def test_a_guard_as_it_is_published_sees(tmp_path: Path) -> None:
    oracle = seeing.guard4(tmp_path)
    model = load_generator(tmp_path, ENOUGH)
    shown = Shown(model, "User: ", picture(64, 16), " is this safe?")
    torch.testing.assert_close(stepped(model, shown, [], [len(shown.ids)]), shown.full(oracle, []), atol=CLOSE, rtol=0)


def answered(model: Generator, shown: list[Shown], capacity: int, grain: int = 1) -> tuple[list[str], GenerateLane]:
    """What is said of several prompts at once, most probable tokens, with room for so many positions."""
    cache = KvCache(model.shape, capacity, torch.float32, grain=grain)
    lane = GenerateLane(model.lane._runner, cache, 1024, step_tokens=24)
    heard = [Heard() for _ in shown]
    for one, ear in zip(shown, heard, strict=True):
        request = GenerateRequest(tuple(one.ids), 20, 1e9, Sampling(temperature=0), ignores_end=True)
        request = replace(request, pictures=tuple(one.pictures))
        lane.add([model.sequence(request, ear)])
    while (work := lane.next(0)) is not None:
        work.run()
    assert (lane.pending, lane.reserved, cache.held) == (0, 0, 0)
    assert all(isinstance(ear.end, Finished) for ear in heard)
    return [ear.text for ear in heard], lane


def test_answers_that_yield_or_come_alone_in_fixed_pieces_are_the_same(pair: tuple[Generator, Any]) -> None:
    model, oracle = pair
    shown = [Shown(model, f"look {seed}: ", picture(30, 30, seed), " what is it?") for seed in range(4)]
    shown.append(Shown(model, "the quick brown fox asks what the gate does"))
    plenty, _ = answered(model, shown, 2048)
    little, lane = answered(model, shown, 72)
    fixed, _ = answered(model, shown, 2048, grain=64)
    assert plenty == little == fixed
    assert lane.counters.preempted > 0
    ids: list[int] = []
    for _ in range(20):
        ids.append(int(shown[0].full(oracle, ids)[-1].argmax()))
    assert plenty[0] == model.tokenizer.text(ids)


def test_few_bits_see_nearly_the_same(tmp_path: Path, pair: tuple[Generator, Any]) -> None:
    oracle = seeing.llama4(tmp_path)
    for precision, far in (("bf16", 0.1), ("int8", 0.2)):
        model = load_generator(tmp_path, Options(kv_bytes=10_000_000, precision=precision))
        shown = Shown(model, "look: ", picture(40, 24), " what?")
        found = stepped(model, shown, [], [len(shown.ids)]).softmax(-1)
        expected = shown.full(oracle, []).softmax(-1)
        assert float((found - expected).abs().sum(-1).mean()) < 2 * far
