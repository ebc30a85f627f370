"""Errors of memory told apart from all others: after one of them the process is sound, and less work may fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.errors import MemoryExhausted


@contextmanager
def enough_memory(told: str) -> Iterator[None]:
    """MemoryExhausted with that message for what the allocators of Python and torch raise; others pass."""
    try:
        yield
    except MemoryError as exc:
        raise MemoryExhausted("out_of_memory", told) from exc
    except RuntimeError as exc:
        if not _is_about_memory(exc):
            raise
        raise MemoryExhausted("out_of_memory", told) from exc


def _is_about_memory(error: RuntimeError) -> bool:
    """torch's own class on a GPU; on a CPU a plain RuntimeError of its allocator."""
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in told or "not enough memory" in told
