"""Steps of fixed shapes give the logits of full passes: over borders, for any lengths, whatever row a text is in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.adapters import load_adapter
from engine.gpu.decode import SIZES, Tables
from engine.runner import Run
from tests.engine import adapting
from tests.engine.gpu.stepping import DEVICES, OnGpu
from tests.engine.model_cases import prompt, reserved
from tests.engine.stand_ins import Asked

CASES = ["scout", "maverick", "two_experts", "all_full", "guard", "llama_tied", "qwen3"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_every_next_token_is_that_of_a_full_pass(case: str, device: torch.device, tmp_path: Path) -> None:
    """Five texts in eight rows, over borders of chunks at 16, 32 and 48; who is through leaves, the rest move up."""
    model = OnGpu(tmp_path, case, device)
    cache = model.cache(block=16 if case == "scout" else 4)
    runner, lengths = model.runner(cache), (3, 15, 16, 31, 40)
    texts = [prompt(length + 4 * at + 4, length) for at, length in enumerate(lengths)]
    slots = [reserved(cache, len(ids)) for ids in texts]
    expected = [model.pair.full(ids) for ids in texts]
    runner.step([Run(slot, ids[:length]) for slot, ids, length in zip(slots, texts, lengths, strict=True)])

    while live := [at for at, slot in enumerate(slots) if slot.filled < len(texts[at])]:
        wanted = torch.stack([expected[at][slots[at].filled] for at in live])
        found = runner.step([Run(slots[at], [texts[at][slots[at].filled]], [0]) for at in live])
        torch.testing.assert_close(found.cpu(), wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kept_as", ["int8", "fp8"])
def test_keys_in_eight_bits_are_read_as_they_are(kept_as: str, device: torch.device, tmp_path: Path) -> None:
    model, ids = OnGpu(tmp_path, "scout", device), prompt(40)
    found = []
    for is_paged in (True, False):
        cache = model.cache(kept_as=kept_as)
        runner, slot = (model.runner(cache) if is_paged else model.pieces), reserved(cache, 40)
        runner.step([Run(slot, ids[:20])])
        found.append(torch.cat([runner.step([Run(slot, [token], [0])]) for token in ids[20:]]))
    torch.testing.assert_close(*found, atol=2e-4, rtol=0)


@pytest.mark.parametrize("case", ["scout", "two_experts"])
def test_nothing_in_a_step_asks_the_device(case: str, tmp_path: Path) -> None:
    """And so it can be recorded. Pieces of prompts do not ask either."""
    model = OnGpu(tmp_path, case)
    cache = model.cache()
    runner, slots = model.runner(cache), [reserved(cache, 40) for _ in range(3)]
    with Asked() as asked:
        runner.step([Run(slot, prompt(20), [19]) for slot in slots])
        runner.step([Run(slot, [7], [0]) for slot in slots])
    assert asked.questions == []


def test_nothing_of_the_host_is_in_a_step(tmp_path: Path) -> None:
    """On a device that has shapes and no numbers: it answers no question, and refuses the host's tensors."""
    nowhere = torch.device("meta")
    model = OnGpu(tmp_path / "m", "two_experts", nowhere, "bf16")
    written = adapting.write(tmp_path / "a", model.pair.oracle)
    adapter = load_adapter(written, model.config, torch.bfloat16, nowhere)
    cache = model.cache()
    runner, slots = model.runner(cache), [reserved(cache, 40) for _ in range(3)]
    with Asked() as asked:
        pieces = runner.step([Run(slot, prompt(20), [19], adapter) for slot in slots])
        singles = runner.step([Run(slot, [7], [0]) for slot in slots])
    assert {pieces.device.type, singles.device.type} == {"meta"}
    assert (asked.questions, asked.strays) == ([], [])


def test_only_wanted_rows_come_back(tmp_path: Path) -> None:
    model = OnGpu(tmp_path)
    cache = model.cache()
    runner, slots = model.runner(cache), [reserved(cache, 20) for _ in range(3)]
    found = runner.step([Run(slot, [20 + at], [0] if at != 1 else ()) for at, slot in enumerate(slots)])
    for row, token in zip(found, (20, 22), strict=True):
        torch.testing.assert_close(row, model.pair.full([token])[0], atol=2e-4, rtol=0)
    assert [slot.filled for slot in slots] == [1, 1, 1]


def test_rows_that_fill_up_write_where_nobody_reads(tmp_path: Path) -> None:
    """A batch of three in four rows; the memory but for their own places and the last block stays as it was."""
    model = OnGpu(tmp_path, "maverick")
    cache = model.cache(160)
    slots = [reserved(cache, 5) for _ in range(3)]
    model.runner(cache).step([Run(slot, [9], [0]) for slot in slots])
    keys_lkpd = cache.pages.keys_lkpd
    written = keys_lkpd.isfinite().all(-1).all(1).any(0).nonzero().flatten().tolist()
    own = {
        place
        for slot in slots
        for is_chunked, units in ((False, cache.layout.full), (True, cache.layout.chunked))
        for unit in range(units)
        for place in slot.table(is_chunked).places(unit, 0, 1).tolist()
    }
    assert set(written) == own | {cache.scratch}


def test_a_table_is_copied_when_it_has_changed_and_not_else(tmp_path: Path) -> None:
    model = OnGpu(tmp_path)
    cache = model.cache(block=4)
    slot = cache.reserve(60, now=6)
    assert slot is not None
    tables = Tables(cache.layout, False, 64, 2, model.device)
    tables.show([slot])
    known = tables.starts_ubl.clone()
    tables.starts_ubl.zero_()
    tables.show([slot])
    assert not tables.starts_ubl.any()
    tables.show([slot, slot])
    assert torch.equal(tables.starts_ubl[:, 1], known[:, 0])
    cache.trim(slot)
    assert cache.grow(slot, 9)
    tables.show([slot])
    assert torch.equal(tables.starts_ubl[0, 0, :3].long(), slot.full.starts(0)[0, :3])


def test_a_slot_without_room_is_an_error_and_nothing_advances(tmp_path: Path) -> None:
    model = OnGpu(tmp_path)
    cache = model.cache()
    slot, runner = reserved(cache, 1), model.runner(cache)
    runner.step([Run(slot, [9], [0])])
    with pytest.raises(ValueError, match="longer than its slot"):
        runner.step([Run(slot, [9], [0])])
    assert slot.filled == 1


def test_sizes_double() -> None:
    assert SIZES == (1, 2, 4, 8, 16, 32, 64)
