"""The decoder's layers for a few rows: the same model as engine/model, with loops between the products.

Activations are fp32 whatever the weights are. What is worked out once when a model is loaded lies in arrays that share
the weights' memory; nothing is kept twice.

Shapes: as in engine/model/decoder.py and engine/model/moe.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine.fused import loops
from engine.fused.attention import attend, prepare
from engine.fused.hands import LARGE, divided
from engine.fused.looped import Looped
from engine.fused.loops import Floats, Ints
from engine.fused.low_rank import UNCHANGED, Adapted
from engine.fused.memory import Memory
from engine.fused.plan import Seen
from engine.fused.products import Product, product
from engine.model.decoder import temperature
from engine.model.low_rank import Place
from engine.shape import LayerConfig, ModelConfig
from engine.weights import Layer, Mlp, Moe


def array(tensor: Tensor) -> Floats:
    found: Floats = tensor.float().numpy()
    return found


class Dense:
    """silu(gate) * up, then down."""

    def __init__(self, gate_up: Product, down: Product) -> None:
        self._gate_up, self._down, self._stored = gate_up, down, None
        if isinstance(gate_up, Looped) and isinstance(down, Looped) and gate_up.is_small and down.is_small:
            self._stored = gate_up.stored, down.stored

    def __call__(self, x_tD: Floats, adapted: Adapted = UNCHANGED) -> Floats:
        if self._stored is not None and adapted is UNCHANGED:
            return loops.dense(x_tD, *self._stored)
        gate_up_tg = adapted.add(Place.GATE_UP, self._gate_up(x_tD), x_tD)
        x_tf = np.empty((x_tD.shape[0], gate_up_tg.shape[1] // 2), np.float32)
        loops.gate(gate_up_tg, x_tf)
        return adapted.add(Place.DOWN, self._down(x_tf), x_tf)


class Mixture:
    """The shared expert, to which adapters add, and of the others those that got a token."""

    def __init__(self, router_eD: Floats, each: int, experts: Sequence[Dense], shared: Dense) -> None:
        self._router_eD, self._each, self._experts, self._shared = router_eD, each, experts, shared

    def __call__(self, x_tD: Floats, adapted: Adapted = UNCHANGED) -> Floats:
        tokens, hidden = x_tD.shape
        rows_nD = np.empty((tokens * self._each, hidden), np.float32)
        token_n, count_e = np.empty(len(rows_nD), np.int64), np.empty(len(self._experts), np.int64)
        loops.route(x_tD, self._router_eD, self._each, rows_nD, token_n, count_e)
        part_tD, begin = self._shared(x_tD, adapted), 0
        for expert in np.flatnonzero(count_e).tolist():
            end = begin + int(count_e[expert])
            loops.add_rows(part_tD, self._experts[expert](rows_nD[begin:end]), token_n[begin:end])
            begin = end
        return part_tD


@dataclass(frozen=True, slots=True)
class Ready:
    """One layer."""

    config: LayerConfig
    input_norm: Floats
    qkv: Product
    qk_norm: tuple[Floats, Floats]
    out: Product
    post_norm: Floats
    feed_forward: Dense | Mixture


@dataclass(frozen=True, slots=True)
class Turns:
    """What depends on the rows' positions."""

    turn_tr: tuple[Floats, Floats]
    sharper_t: Floats
    """Of layers without a rotation."""
    one_t: Floats


class Layers:
    """All layers of one model."""

    def __init__(self, config: ModelConfig, layers: Sequence[Layer], frequencies_r: Tensor, dtype: torch.dtype) -> None:
        self._config, self._frequencies_r = config, frequencies_r.numpy()
        self._layers = [
            _ready(config, layer, parameters, dtype) for layer, parameters in zip(config.layers, layers, strict=True)
        ]

    def through(
        self,
        x_tD: Floats,
        positions: Ints,
        memories: Sequence[Memory],
        planned: Sequence[Seen],
        adapted: Sequence[Adapted],
    ) -> Floats:
        """What all layers make of the rows, before the last norm."""
        config, turns = self._config, self._turns(positions)
        # The first layer has nothing to add to yet.
        sum_tD, part_tD, normed_tD = np.zeros_like(x_tD), x_tD, np.empty_like(x_tD)
        for layer, memory, seen, added in zip(self._layers, memories, planned, adapted, strict=True):
            loops.add_and_norm(sum_tD, part_tD, layer.input_norm, config.norm_eps, normed_tD)
            part_tD = self._attention(layer, normed_tD, turns, memory, seen, added)
            loops.add_and_norm(sum_tD, part_tD, layer.post_norm, config.norm_eps, normed_tD)
            part_tD = layer.feed_forward(normed_tD, added)
        return sum_tD + part_tD

    def _turns(self, positions: Ints) -> Turns:
        angle_tr = positions.astype(np.float32)[:, None] * self._frequencies_r
        one_t = np.ones(len(positions), np.float32)
        sharper_t = one_t
        if self._config.temperature_tuning:
            sharper_t = temperature(self._config, torch.from_numpy(positions)).numpy()
        return Turns((np.cos(angle_tr), np.sin(angle_tr)), sharper_t, one_t)

    def _attention(
        self, layer: Ready, x_tD: Floats, turns: Turns, memory: Memory, seen: Seen, adapted: Adapted
    ) -> Floats:
        config, turned = self._config, layer.config.uses_rope
        joined_tc = adapted.add(Place.QKV, layer.qkv(x_tD), x_tD)
        prepare(
            joined_tc,
            config.heads,
            turns.turn_tr,
            layer.qk_norm,
            turned,
            turned and config.qk_norm and not len(layer.qk_norm[0]),
            turns.one_t if turned else turns.sharper_t,
            config.norm_eps,
            memory,
            seen.place_t,
        )
        out_ti = np.empty((len(x_tD), config.heads * config.head_dim), np.float32)
        look = partial(attend, joined_tc, config.heads, memory, seen.seen_n, seen.begin_t, seen.end_t, out_ti)
        keys_kpd = memory[0][0]
        if 2 * len(seen.seen_n) * config.kv_heads * config.head_dim * keys_kpd.itemsize < LARGE:
            look(0, config.kv_heads)
        else:
            divided(config.kv_heads, look)
        return adapted.add(Place.OUT, layer.out(out_ti), out_ti)


def _ready(config: ModelConfig, layer: LayerConfig, parameters: Layer, dtype: torch.dtype) -> Ready:
    none = np.empty(0, np.float32)
    q_norm, k_norm = parameters.q_norm, parameters.k_norm
    return Ready(
        config=layer,
        input_norm=array(parameters.input_norm),
        qkv=product(parameters.qkv, dtype),
        qk_norm=(none, none) if q_norm is None or k_norm is None else (array(q_norm), array(k_norm)),
        out=product(parameters.out, dtype),
        post_norm=array(parameters.post_norm),
        feed_forward=_feed_forward(config, parameters.feed_forward, dtype),
    )


def _feed_forward(config: ModelConfig, part: object, dtype: torch.dtype) -> Dense | Mixture:
    if isinstance(part, Mlp):
        return Dense(product(part.gate_up, dtype), product(part.down, dtype))
    if not isinstance(part, Moe):
        raise AssertionError("processors know no other feed-forward")
    experts = [
        Dense(product(gate_up, dtype), product(down, dtype))
        for gate_up, down in zip(part.gate_up_egD, part.down_eDf, strict=True)
    ]
    shared = Dense(product(part.shared.gate_up, dtype), product(part.shared.down, dtype))
    return Mixture(array(part.router_eD), config.experts_per_token, experts, shared)
