"""Errors of memory told apart from all others: after one of them the process is sound, and less work may fit."""

from __future__ import annotations

import ctypes
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


def give_back() -> None:
    """Hand what was freed back to the system: reading a model leaves hundreds of megabytes of holes.

    Only where the C library has a call for it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
