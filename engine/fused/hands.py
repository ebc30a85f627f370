"""One loop in several threads, by parts that know nothing of each other.

Waking a thread costs some 50 microseconds, so only what takes several times that is divided. Which thread computes a
part changes nothing in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch

LARGE = 4 << 20
"""Bytes to read, from which on work should be divided: 150 microseconds for one thread."""


@cache
def _others() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hand")


def divided(count: int, do: Callable[[int, int], None]) -> None:
    """do(begin, end) for all of range(count), in as many threads as torch may use here. For LARGE work only."""
    threads = min(torch.get_num_threads(), count)
    bounds = [count * at // threads for at in range(threads + 1)]
    waited = [_others().submit(do, begin, end) for begin, end in pairwise(bounds[1:])]
    do(bounds[0], bounds[1])
    for one in waited:
        one.result()
