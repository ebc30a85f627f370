"""How long something takes on a device, and how fast the device itself is: its memory, and its products."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def timed(run: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def bandwidth(device: str) -> float:
    """Bytes a second: the best of copying and of reading, of a tensor too large for any cache."""
    count = 2**31 if device == "cuda" else 2**24
    one, other = (torch.empty(count, dtype=torch.uint8, device=device).random_() for _ in range(2))
    words = one.view(torch.int64)
    copied = 2 * count / min(timed(lambda: other.copy_(one), device) for _ in range(8))
    read = count / min(timed(words.max, device) for _ in range(8))
    return max(copied, read)


def matrix_rate(device: str) -> float:
    """FLOP a second of the best of several products, large enough to be nothing but product."""
    side = 8192 if device == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = [timed(lambda: a @ b, device) for _ in range(12)]
    return 2 * side**3 / min(times)
