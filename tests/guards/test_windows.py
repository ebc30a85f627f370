"""Windows: every token is seen, and text that needs too many of them is refused."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.errors import ErrorKind, GuardError
from guards.windows import window_count, windows

shapes = st.integers(2, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@given(tokens=st.integers(0, 300), shape=shapes)
def test_every_token_is_in_a_window_and_neighbours_overlap(tokens: int, shape: tuple[int, int]) -> None:
    size, overlap = shape

    cut = windows(range(tokens), size, overlap, cap=1_000, guard="g")

    assert {token for window in cut for token in window} == set(range(tokens))
    assert all(0 < len(window) <= size for window in cut)
    assert all(b[0] > a[0] and a[-1] - b[0] + 1 >= overlap for a, b in pairwise(cut))
    assert not cut or cut[-1][-1] == tokens - 1
    assert len(cut) <= 1 or all(len(window) == size for window in cut)


@given(tokens=st.integers(1, 100_000))
def test_the_count_follows_the_formula(tokens: int) -> None:
    expected = 1 if tokens <= 510 else math.ceil((tokens - 96) / (510 - 96))

    assert window_count(tokens, 510, 96) == expected


def test_no_tokens_need_no_window() -> None:
    assert windows([], 510, 96, cap=1, guard="g") == []


@pytest.mark.parametrize(("tokens", "count"), [(510, 1), (511, 2), (924, 2), (925, 3)])
def test_the_edges_of_a_window(tokens: int, count: int) -> None:
    assert len(windows(range(tokens), 510, 96, cap=9, guard="g")) == count


def test_more_windows_than_the_cap_are_refused_not_cut() -> None:
    assert len(windows(range(924), 510, 96, cap=2, guard="g")) == 2
    with pytest.raises(GuardError) as caught:
        windows(range(925), 510, 96, cap=2, guard="g")
    assert caught.value.kind is ErrorKind.TOO_LONG


@pytest.mark.parametrize(("size", "overlap", "cap"), [(10, 10, 1), (10, -1, 1), (10, 2, 0)])
def test_windows_that_would_not_move_on_are_a_mistake_in_the_code(size: int, overlap: int, cap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        windows([1], size, overlap, cap, guard="g")
