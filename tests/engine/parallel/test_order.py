"""What the other processes read is what the first one meant: the same places for the same rows, in every layer."""

from __future__ import annotations

import os
import struct
from io import BytesIO
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.kv_cache import KvCache
from engine.model.attention import Piece, plans
from engine.parallel.order import (
    Add,
    Copy,
    Forget,
    Step,
    add_order,
    copy_order,
    forget_order,
    next_order,
    packed,
    read_order,
    step_order,
)  # fmt: skip
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import small_config


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 9), st.booleans())
def test_a_step_arrives_as_it_was_planned(counts: list[int], start: int, is_scattered: bool) -> None:
    config = small_config(heads=4, kv_heads=2, head_dim=8)
    cache = KvCache(config, 400, block=4)
    if is_scattered:
        slots = [reserved(cache, 4) for _ in range(20)]
        for slot in slots[::2]:
            cache.release(slot)
    pieces, row = [], 0
    for count in counts:
        pieces.append(Piece(reserved(cache, start + count), row, start, count))
        row += count
    positions = torch.cat([torch.arange(piece.start, piece.end) for piece in pieces])
    planned = plans(pieces)

    worn = [(slice(0, 1), 7), (slice(1, row), 2)][: start % 3]
    order = read_order(step_order(positions, planned, worn), cache.layout, cache.pages)

    assert isinstance(order, Step)
    assert order.adapters == worn
    assert torch.equal(order.positions_t, positions)
    assert len(order.planned) == len(planned)
    for found, meant in zip(order.planned, planned, strict=True):
        assert (found.row, len(found.plan.spans)) == (meant.row, len(meant.plan.spans))
        assert torch.equal(found.plan.writes_t, meant.plan.writes_t)
        for one, other in zip(found.plan.spans, meant.plan.spans, strict=True):
            assert one.rows == other.rows
            if isinstance(other.seen, slice):
                assert one.seen == other.seen
            else:
                assert isinstance(one.seen, torch.Tensor)
                assert torch.equal(one.seen, other.seen)


def test_a_copy_arrives() -> None:
    cache = KvCache(small_config(heads=4, kv_heads=2, head_dim=8), 40, block=4)
    assert read_order(copy_order(3, 7, 2), cache.layout, cache.pages) == Copy(3, 7, 2)


def test_an_adapter_comes_and_goes_by_its_number() -> None:
    cache = KvCache(small_config(heads=4, kv_heads=2, head_dim=8), 40, block=4)
    directory = Path(os.fsdecode("/models/Käse ".encode() + b"\xff"))
    found = read_order(add_order(3, "sha256:ab", directory), cache.layout, cache.pages)
    assert found == Add(3, "sha256:ab", directory)
    assert read_order(forget_order(3), cache.layout, cache.pages) == Forget(3)


def test_an_order_has_its_length_in_front() -> None:
    data = packed([5, -1])
    assert struct.unpack("<3q", data) == (2, 5, -1)
    stream = BytesIO(data + packed([]) + data[:-1])
    assert [next_order(stream) for _ in range(3)] == [(5, -1), (), None]
