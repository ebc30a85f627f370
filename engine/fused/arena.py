"""Memory in pages of two megabytes, for what each step reads from its beginning to its end.

With pages of four kilobytes a processor looks up an address for every few hundred weights; large pages made a product
with one row a quarter faster. Where the system has none, it is memory like any other.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

PAGE = 2 << 20
CHUNK = 8 * PAGE
"""Taken from the system at once."""
ALIGNED = 64


class Arena:
    """Takes copies in, one behind the other; gives nothing back before all of them are gone."""

    def __init__(self) -> None:
        self._free: mmap.mmap | None = None
        self._used = 0

    def settled(self, tensor: Tensor) -> Tensor:
        """A copy of it here."""
        size = -(-tensor.nbytes // ALIGNED) * ALIGNED
        if self._free is None or self._used + size > len(self._free):
            self._free, self._used = _taken(max(CHUNK, -(-size // PAGE) * PAGE)), 0
        copy = torch.frombuffer(self._free, dtype=tensor.dtype, count=tensor.numel(), offset=self._used)
        self._used += size
        return copy.view(tensor.shape).copy_(tensor)


def _taken(size: int) -> mmap.mmap:
    # What is shared gets large pages only where the system was set up for it.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
