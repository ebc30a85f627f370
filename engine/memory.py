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


TOLD = ("can't allocate memory", "not enough memory", "could not create a primitive")
"""By torch's allocator, and by oneDNN where there is no memory for the code of a shape that is new to it.
It would say the same of a shape that it cannot compute; a model that is served was computed before."""


def _is_about_memory(error: RuntimeError) -> bool:
    """torch's own class on a GPU; on a CPU a plain RuntimeError."""
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(one in told for one in TOLD)


def give_back() -> None:
    """Hand what was freed back to the system: reading a model leaves hundreds of megabytes of holes.

    Only where the C library has a call for it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
