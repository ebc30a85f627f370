"""An allocation that fails is told apart from every other failure."""

from __future__ import annotations

import pytest
import torch

from engine.errors import MemoryExhausted
from engine.memory import enough_memory


def test_what_torch_cannot_allocate_is_about_memory() -> None:
    with pytest.raises(MemoryExhausted) as caught, enough_memory("too much"):
        torch.empty(2**50)
    assert (caught.value.code, caught.value.problem) == ("out_of_memory", "too much")


def test_what_python_cannot_allocate_is_about_memory() -> None:
    with pytest.raises(MemoryExhausted), enough_memory("too much"):
        bytearray(2**60)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="must match"), enough_memory("too much"):
        torch.ones(2) + torch.ones(3)
