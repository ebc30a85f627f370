"""One step of so many rows, recorded once as a CUDA graph and replayed: a launch instead of thousands.

What is recorded reads and writes the same memory each time, so it is a function of the number of rows only, which is
rounded up to one of a few. All graphs share one memory for what lies between. Where nothing was recorded, on a
processor or where a kernel cannot be, the same function runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import torch

from engine.logs import log

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

WARM_UPS: Final = 3
"""Runs before a recording: kernels are compiled and chosen in them, libraries take their memory."""


class Graphs:
    """The recorded forms of a function of a number of rows."""

    def __init__(self, run: Callable[[int], None], sizes: Sequence[int]) -> None:
        self._run, self.sizes = run, tuple(sizes)
        self._recorded: dict[int, torch.cuda.CUDAGraph] = {}
        self.why_not = ""
        """What torch said when it could not be recorded."""

    @property
    def recorded(self) -> tuple[int, ...]:
        return tuple(sorted(self._recorded))

    def size_for(self, rows: int) -> int:
        """The least that holds so many."""
        return next(size for size in self.sizes if size >= rows)

    def __call__(self, size: int) -> None:
        if (graph := self._recorded.get(size)) is not None:
            graph.replay()
        else:
            self._run(size)

    def record(self) -> None:
        """All sizes, the largest first: the others fit into its memory. What cannot be recorded runs as it is."""
        pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        try:
            for size in sorted(self.sizes, reverse=True):
                self._recorded[size] = self._record(size, pool, stream)
        except RuntimeError as exc:
            self._recorded.clear()
            self.why_not = str(exc)
            log.warning("graphs_not_recorded", error=type(exc).__name__)

    def _record(self, size: int, pool: _POOL_HANDLE, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._run(size)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other models of this process may be in the middle of a step on other threads.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._run(size)
        return graph
