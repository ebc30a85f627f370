"""A generating model with random weights, made on the device that computes: no checkpoint of its size is on any disk.

Each projection is drawn in bf16 and laid out before the next one is, so the peak is the model and a little. Experts are
drawn one by one; which of them a step used can be counted, because with random weights, too, the floor of a step
is what it really reads.

Shapes: o outputs, i inputs, e experts, n rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from engine.form import GPU_DTYPES
from engine.gpu.decode import Decode
from engine.gpu.experts import Experts
from engine.gpu.form import gpu_form
from engine.gpu.matrix import Matrix
from engine.gpu.runner import GPU_RUNNING, GPU_STEP_TOKENS, GraphRunner, graph_runner
from engine.kv_cache import KvCache
from engine.lanes import capacity_for
from engine.runner import ModelRunner, Run
from engine.scheduler import GenerateLane
from engine.shape import LayerConfig, ModelConfig
from engine.weights import GroupedMoe, Layer, Mlp, Weights

MAX_WAITING = 1024


class Drawn(Sequence[Tensor]):
    """Matrices of one shape, each made when it is asked for."""

    def __init__(self, count: int, outputs: int, inputs: int, device: torch.device, dtype: torch.dtype) -> None:
        self._count, self._shape, self._kind = count, (outputs, inputs), {"device": device, "dtype": dtype}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at):
        if not 0 <= at < self._count:
            raise IndexError(at)
        return torch.randn(self._shape, **self._kind).mul_(self._shape[1] ** -0.5)


class Watched:
    """Experts that count, while somebody asks, how many of them got a row."""

    def __init__(self, experts: Experts) -> None:
        self._experts = experts
        self.used: list[Tensor] | None = None

    def times(self, x_ni: Tensor, ends_e: Tensor) -> Tensor:
        if self.used is not None:
            self.used.append((ends_e.diff(prepend=ends_e.new_zeros(1)) > 0).sum())
        return self._experts.times(x_ni, ends_e)

    def one(self, at: int) -> Matrix:
        return self._experts.one(at)


class RandomModel:
    """With its memory for keys and values, its recorded graphs and its lane."""

    def __init__(self, config: ModelConfig, precision: str, device: torch.device, kv_bytes: int) -> None:
        self.config, self.precision, self.device = config, precision, device
        self.dtype = GPU_DTYPES[precision]
        self._form, self._watched = gpu_form(precision, device), []
        began = time.perf_counter()
        self.weights = self._random()
        if device.type == "cuda":
            torch.cuda.synchronize()
        self.made_s = time.perf_counter() - began
        """Of the weights alone; kernels are compiled later."""
        self.pieces = ModelRunner(config, self.weights)
        capacity = capacity_for(config, kv_bytes, self.dtype)
        self.cache = KvCache(config, capacity, self.dtype, device=device)
        self.runner = graph_runner(config, self.weights, self.pieces, self.cache)
        self.lane = GenerateLane(
            self.runner, self.cache, config.max_positions, GPU_RUNNING, MAX_WAITING, GPU_STEP_TOKENS
        )

    def plain(self) -> GraphRunner:
        """The same steps, nothing recorded."""
        return GraphRunner(self.pieces, Decode(self.config, self.weights, self.pieces.frequencies_r, self.cache))

    def experts_used(self, runs: Sequence[Run]) -> float:
        """By a layer on the average, in a step of these; nothing is advanced. One where there are none."""
        for one in self._watched:
            one.used = []
        with torch.inference_mode():
            self.pieces.logits(runs)
        counts = [int(count) for one in self._watched for count in one.used]
        for one in self._watched:
            one.used = None
        return sum(counts) / len(counts) if counts else 1.0

    def _random(self) -> Weights:
        config = self.config
        embedding_vD = self._drawn(config.vocabulary, config.hidden)
        norm = torch.ones(config.hidden, dtype=self.dtype, device=self.device)
        layers = tuple(self._layer(layer, norm) for layer in config.layers)
        return Weights(embedding_vD, layers, norm, self._form.head(self._drawn(config.vocabulary, config.hidden)))

    def _layer(self, layer: LayerConfig, norm: Tensor) -> Layer:
        D, d, heads = self.config.hidden, self.config.head_dim, self.config.heads
        qkv = self._form.lay(self._drawn((heads + 2 * self.config.kv_heads) * d, D))
        out = self._form.lay(self._drawn(D, heads * d))
        part = self._moe() if layer.is_moe else self._mlp(self.config.mlp_width)
        return Layer(norm, qkv, out, norm, part)

    def _mlp(self, width: int) -> Mlp:
        D = self.config.hidden
        return Mlp(self._form.lay(self._drawn(2 * width, D)), self._form.lay(self._drawn(D, width)))

    def _moe(self) -> GroupedMoe:
        D, F, E = self.config.hidden, self.config.expert_width, self.config.experts
        gate_up = Watched(self._form.join(Drawn(E + 1, 2 * F, D, self.device, self.dtype)))
        down = self._form.join(Drawn(E + 1, D, F, self.device, self.dtype))
        self._watched.append(gate_up)
        return GroupedMoe(self._form.head(self._drawn(E, D)), gate_up, down, Mlp(gate_up.one(E), down.one(E)))

    def _drawn(self, outputs: int, inputs: int) -> Tensor:
        return Drawn(1, outputs, inputs, self.device, self.dtype)[0]


def pieces_of(prompt: Sequence[int], size: int = GPU_STEP_TOKENS) -> Iterator[Sequence[int]]:
    """A prompt in the pieces in which it goes through the model."""
    for begin in range(0, len(prompt), size):
        yield prompt[begin : begin + size]
