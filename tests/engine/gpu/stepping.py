"""A tiny model in the forms of a GPU, and its steps, on whatever device: what both its twin and a GPU are asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.device import CPU
from engine.gpu.decode import Decode
from engine.gpu.form import gpu_form
from engine.gpu.runner import GraphRunner
from engine.kv_cache import KvCache
from engine.runner import ModelRunner
from engine.weights import load_weights
from tests.engine.model_cases import Pair

GPU = pytest.param(
    torch.device("cuda"),
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")],
)
DEVICES = (CPU, GPU)


class OnGpu:
    """A pair's checkpoint as a GPU has it."""

    def __init__(
        self, directory: Path, case: str = "scout", device: torch.device = CPU, precision: str = "fp32"
    ) -> None:
        self.pair, self.device = Pair(directory, case), device
        self.dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self.config = self.pair.config
        self.weights = load_weights(directory, self.config, self.dtype, gpu_form(precision, device))
        self.pieces = ModelRunner(self.config, self.weights)

    def cache(self, capacity: int = 2048, block: int = 16, kept_as: str = "auto") -> KvCache:
        cache = KvCache(self.config, capacity, self.dtype, block, kept_as=kept_as, device=self.device)
        for pool in (cache.pages.keys_lkpd, cache.pages.values_lkpd):
            # Memory that nobody wrote to may hold anything, and must not matter.
            pool.copy_(torch.full((), float("nan") if pool.dtype.is_floating_point else 99))
        return cache

    def runner(self, cache: KvCache) -> GraphRunner:
        """Without recorded graphs."""
        return GraphRunner(self.pieces, Decode(self.config, self.weights, self.pieces.frequencies_r, cache))
