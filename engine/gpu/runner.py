"""Steps on a GPU: next tokens of answers as one recorded graph, pieces of prompts beside them.

A step that has both passes through the model twice, once for each kind: prompts have as many shapes as there are
requests, and answers must not wait for the launches of each layer. Slots are advanced when both have gone well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from engine.device import attends_without_plans
from engine.errors import MemoryExhausted
from engine.gpu.decode import SIZES, Decode
from engine.kv_cache import KvCache
from engine.memory import enough_memory
from engine.runner import ModelRunner, Run, advance
from engine.shape import ModelConfig
from engine.weights import Weights

GPU_RUNNING: Final = SIZES[-1]
"""Sequences at once."""
GPU_STEP_TOKENS: Final = 4096
"""Of a step's prompts: with less an expert's rows fill their last tile badly, and who waits for a step waits for it."""
LENGTHS: Final = (
    1,
    2,
    3,
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    448,
    512,
    768,
    1024,
    1536,
    2048,
    4096,
)
"""Of pieces of prompts: among them are all forms of the kernels that a number of rows leads to."""


def graph_runner(config: ModelConfig, weights: Weights, pieces: ModelRunner, cache: KvCache) -> GraphRunner:
    """With its graphs recorded, where they can be."""
    runner = GraphRunner(pieces, Decode(config, weights, pieces.frequencies_r, cache))
    if weights.embedding_vD.is_cuda:
        attends_without_plans()
        runner.record()
        runner.warm_up(cache)
    return runner


class GraphRunner:
    """A Runner."""

    def __init__(self, pieces: ModelRunner, decode: Decode) -> None:
        self._pieces, self._decode = pieces, decode

    @property
    def recorded(self) -> tuple[int, ...]:
        """Numbers of rows."""
        return self._decode.graphs.recorded

    @property
    def why_not(self) -> str:
        """What torch said when it could not be recorded."""
        return self._decode.graphs.why_not

    def record(self) -> None:
        """Do it before anybody waits: kernels are chosen and compiled here."""
        with torch.inference_mode():
            self._decode.graphs.record()

    def warm_up(self, cache: KvCache) -> None:
        """Pieces of prompts of many lengths, where there is room: what has to be compiled for them is."""
        for length in LENGTHS:
            slot = cache.reserve(length, keeps_all=True) if length <= cache.capacity else None
            if slot is None:
                return
            try:
                with torch.inference_mode(), enough_memory("there was not enough memory for a piece of a prompt"):
                    self._pieces.logits([Run(slot, [0] * length, [length - 1])])
            except MemoryExhausted:  # such a step will be tried in halves
                return
            finally:
                cache.release(slot)

    def step(self, runs: Sequence[Run]) -> Tensor:
        single = [run for run in runs if self._decode.takes(run)][: SIZES[-1]]
        taken = {id(run) for run in single}
        rest = [run for run in runs if id(run) not in taken]
        with torch.inference_mode(), enough_memory("there was not enough memory for this step"):
            parts = [(rest, self._pieces.logits(rest))] if rest else []
            parts += [(single, self._decode.logits(single))] if single else []
            logits_sv = parts[0][1] if len(parts) == 1 else _in_order(runs, parts)
        advance(runs)
        return logits_sv


def _in_order(runs: Sequence[Run], parts: Sequence[tuple[Sequence[Run], Tensor]]) -> Tensor:
    found: dict[int, Tensor] = {}
    for some, logits_sv in parts:
        begin = 0
        for run in some:
            found[id(run)] = logits_sv[begin : begin + len(run.wanted)]
            begin += len(run.wanted)
    return torch.cat([found[id(run)] for run in runs])
