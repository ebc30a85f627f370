"""Compiled functions compute what they say, and keep what is no number."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from engine.fused.compiled import compiled, put, wide
from engine.fused.loops import Floats, Stored


@compiled
def widened(stored_n: Stored, out_n: Floats) -> None:
    for n in range(len(out_n)):
        out_n[n] = wide(stored_n[n])


@compiled
def kept(values_n: Floats, memory_n: Stored) -> None:
    for n in range(len(values_n)):
        put(memory_n, (n,), values_n[n])


@compiled
def busy(rounds: int) -> int:
    total = 0
    for one in range(rounds):
        total ^= one * total + 1
    return total


NUMBERS = [0.0, -0.0, 1.0, 1.00390625, 1.01171875, -3.1415927, 3e38, -1e-40, float("inf"), float("-inf"), float("nan")]


def test_numbers_are_kept_in_16_bits_as_torch_rounds_them() -> None:
    values = torch.tensor(NUMBERS)
    memory = torch.empty(len(values), dtype=torch.bfloat16)
    kept(values.numpy(), memory.view(torch.uint16).numpy())
    torch.testing.assert_close(memory, values.bfloat16(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.int8])
def test_what_is_stored_is_read_as_the_number_it_is(dtype: torch.dtype) -> None:
    stored = torch.tensor([-127, -3, 0, 1, 126]).to(dtype)
    out = np.empty(len(stored), np.float32)
    widened(stored.view(torch.uint16).numpy() if dtype == torch.bfloat16 else stored.numpy(), out)
    assert out.tolist() == stored.tolist()


def test_other_threads_run_meanwhile() -> None:
    busy(1)
    began = time.perf_counter()
    thread = threading.Thread(target=busy, args=(300_000_000,))
    thread.start()
    time.sleep(0.001)
    waited = time.perf_counter() - began
    assert thread.is_alive(), "or this machine is too fast for the test"
    thread.join()
    assert waited < (time.perf_counter() - began) / 2
