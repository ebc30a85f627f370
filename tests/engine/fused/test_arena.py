"""Large pages are memory like any other."""

from __future__ import annotations

import torch

from engine.fused.arena import ALIGNED, CHUNK, Arena


def test_copies_lie_behind_one_another_and_stay_what_they_were() -> None:
    arena = Arena()
    given = [torch.randn(3, 5), torch.randint(-9, 9, (7, 11), dtype=torch.int8), torch.randn(64, 64).bfloat16()]
    taken = [arena.settled(one) for one in given]
    for one, copy in zip(given, taken, strict=True):
        assert torch.equal(one, copy)
        assert copy.data_ptr() % ALIGNED == 0
        assert copy.data_ptr() != one.data_ptr()
    ends = [copy.data_ptr() + copy.nbytes for copy in taken]
    assert all(before <= copy.data_ptr() < before + ALIGNED for before, copy in zip(ends, taken[1:], strict=False))


def test_what_is_larger_than_a_chunk_gets_one_of_its_own() -> None:
    arena = Arena()
    small, large = arena.settled(torch.ones(3)), arena.settled(torch.ones(CHUNK + 1, dtype=torch.int8))
    assert (small.sum(), int(large.sum(dtype=torch.int64))) == (3, CHUNK + 1)
