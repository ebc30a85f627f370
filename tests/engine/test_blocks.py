"""Blocks are handed out once and come back once, neighbours together where that is possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.blocks import FreeBlocks
from engine.errors import EngineError


def test_neighbours_come_from_the_lowest_place_that_has_enough() -> None:
    free = FreeBlocks(10)
    assert free.take(3) == [0, 1, 2]
    assert free.take(2) == [3, 4]
    free.give([0, 1, 2])

    assert free.take(4) == [5, 6, 7, 8]
    assert free.take(4) == [0, 1, 2, 9]
    assert free.count == 0


def test_more_than_there_is_cannot_be_taken_and_nothing_comes_back_twice() -> None:
    free = FreeBlocks(2)
    with pytest.raises(EngineError):
        free.take(3)
    (block,) = free.take(1)
    free.give([block])
    with pytest.raises(EngineError):
        free.give([block])


@given(st.lists(st.one_of(st.integers(1, 5), st.just(0)), max_size=40), st.randoms(use_true_random=False))
def test_any_order_of_taking_and_giving_keeps_every_block_once(orders: list[int], random) -> None:
    free, taken = FreeBlocks(12), []
    for wanted in orders:
        if wanted and wanted <= free.count:
            taken.append(free.take(wanted))
        elif taken:
            free.give(taken.pop(random.randrange(len(taken))))
        out = [block for blocks in taken for block in blocks]
        assert len(out) == len(set(out)) == 12 - free.count
    for blocks in taken:
        free.give(blocks)
    assert free.take(12) == list(range(12))
