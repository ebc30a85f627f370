"""An allocation that fails is told apart from every other failure."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.errors import MemoryExhausted
from engine.memory import enough_memory, give_back


def test_what_torch_cannot_allocate_is_about_memory() -> None:
    with pytest.raises(MemoryExhausted) as caught, enough_memory("too much"):
        torch.empty(2**50)
    assert (caught.value.code, caught.value.problem) == ("out_of_memory", "too much")


def test_what_python_cannot_allocate_is_about_memory() -> None:
    with pytest.raises(MemoryExhausted), enough_memory("too much"):
        bytearray(2**60)


def test_what_onednn_has_no_memory_for_is_about_memory() -> None:
    """It says so of code for a shape that is new to it, when not even that has room."""
    with pytest.raises(MemoryExhausted), enough_memory("too much"):
        raise RuntimeError("could not create a primitive")


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="must match"), enough_memory("too much"):
        torch.ones(2) + torch.ones(3)


def test_holes_among_small_pieces_go_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    # Every 64th stays, so that the others are holes that a heap does not give back by itself.
    pieces = [torch.ones(16_000) for _ in range(1000)]
    kept = pieces[::64]
    before = resident()
    del pieces
    give_back()
    assert resident() < before - 30_000_000
    assert all(one.sum() == 16_000 for one in kept)
