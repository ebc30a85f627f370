"""All parts of the work are done."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from engine.fused.hands import divided


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_work_is_done_in_as_many_threads_as_torch_may_use(count: int) -> None:
    done: list[int] = []
    threads: set[int] = set()
    together = threading.Barrier(min(count, 3), timeout=10)

    def some(begin: int, end: int) -> None:
        together.wait()
        threads.add(threading.get_ident())
        done.extend(range(begin, end))

    divided(count, some)
    assert sorted(done) == list(range(count))
    assert len(threads) == min(count, 3)


@pytest.mark.usefixtures("three_threads")
def test_a_part_that_fails_fails_the_whole() -> None:
    def some(begin: int, end: int) -> None:
        if begin:
            raise MemoryError

    with pytest.raises(MemoryError):
        divided(3, some)
