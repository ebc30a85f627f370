"""What a model needs of a machine's memory, by arithmetic: weights by kind, keys and values, and what is then left.

Counts every parameter that the configuration calls for, in the bytes of a precision, so that a site knows before it
downloads or buys. Nothing is loaded, and no allocator's waste is guessed: `workspace` stands for driver context,
activations and fragments. Keys and values are counted in two ways, because servers differ: a chunked layer keeps the
positions of one chunk, as in this model host, or every layer keeps every position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from engine.shape import ModelConfig

GROUP: Final = 128
"""Weights of eight and four bits share a scale of two bytes in groups of so many."""
_SCALE: Final = 2 / GROUP
_LINEAR: Final = ("experts", "shared", "attention", "dense")
_BYTES: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "fp32": {"": 4.0},
        "bf16": {"": 2.0},
        "fp8": {"": 2.0, **dict.fromkeys(_LINEAR, 1 + _SCALE)},
        "int8": {"": 2.0, **dict.fromkeys(_LINEAR, 1 + _SCALE)},
        "int4-experts": {"": 2.0, "experts": 0.5 + _SCALE},
        "int4": {"": 2.0, **dict.fromkeys(_LINEAR, 0.5 + _SCALE)},
    }
)
"""Bytes of one parameter by kind; the empty kind is all others: embedding, head, router, norms and vision."""
PRECISIONS: Final = tuple(_BYTES)
KV_BYTES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"fp32": (4, 0), "bf16": (2, 0), "fp8": (1, 2), "int8": (1, 2)}
)
"""Bytes of a number, and of the scale that each head of a position has beside them, here as in this model host."""


@dataclass(frozen=True, slots=True)
class Kv:
    """Keys and values of one sequence."""

    full_bytes: int
    """A position in the layers that keep all of them."""
    chunked_bytes: int
    """A position in the layers that need one chunk only."""
    chunk: int

    def bytes_for(self, positions: int, hybrid: bool) -> int:
        kept = min(positions, self.chunk) if hybrid else positions
        return positions * self.full_bytes + kept * self.chunked_bytes

    def most_positions(self, room: float, hybrid: bool) -> int:
        """The longest sequence in `room` bytes."""
        if room <= 0:
            return 0
        whole = int(room // (self.full_bytes + self.chunked_bytes))
        if not hybrid or whole <= self.chunk:
            return whole
        return int((room - self.chunk * self.chunked_bytes) // self.full_bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """One model in one precision on one card."""

    precision: str
    weights: Mapping[str, float]
    """Bytes by kind."""
    kv: Kv
    card: float
    workspace: float

    @property
    def total_weights(self) -> float:
        return sum(self.weights.values())

    @property
    def room(self) -> float:
        """Bytes left for keys and values; below zero: the weights do not fit."""
        return self.card - self.workspace - self.total_weights

    def sequences(self, positions: int, hybrid: bool) -> int:
        """How many of that length fit at once."""
        return max(0, int(self.room // self.kv.bytes_for(positions, hybrid)))

    def fits(self, positions: int, sequences: int) -> bool:
        """Whether so many sequences of that length fit where chunked layers keep one chunk."""
        return sequences * self.kv.bytes_for(positions, hybrid=True) <= self.room


def parameters(config: ModelConfig, raw: Mapping[str, Any]) -> dict[str, int]:
    """Numbers by kind. Vision is counted from `raw`, because the text model knows nothing of it."""
    D, layers = config.hidden, len(config.layers)
    moe = sum(layer.is_moe for layer in config.layers)
    gated = 3 * D * config.expert_width
    norms = layers * 2 * D + D + (2 * layers * config.head_dim if config.weighted_qk_norm else 0)
    counted = {
        "experts": moe * config.experts * gated,
        "shared": moe * gated,
        "attention": layers * 2 * D * config.head_dim * (config.heads + config.kv_heads),
        "dense": (layers - moe) * 3 * D * config.mlp_width,
        "embedding": config.vocabulary * D * (1 if config.tied_head else 2),
        "router and norms": moe * config.experts * D + norms,
        "vision": _vision(raw.get("vision_config") or {}, D),
    }
    return {kind: count for kind, count in counted.items() if count}


def active(config: ModelConfig, counted: Mapping[str, int]) -> int:
    """Parameters of the text model that one token uses."""
    used = sum(count for kind, count in counted.items() if kind not in ("experts", "vision"))
    return used + (counted.get("experts", 0) * config.experts_per_token // config.experts if config.experts else 0)


def weight_bytes(counted: Mapping[str, int], precision: str) -> dict[str, float]:
    each = _BYTES[precision]
    return {kind: count * each.get(kind, each[""]) for kind, count in counted.items()}


def wide_head_bytes(config: ModelConfig) -> int:
    """What the head takes beyond what is counted, in 16 or fewer bits on a processor without compiled loops: it is
    widened to 32 there, and what is the embedding, too, is kept beside it."""
    return config.vocabulary * config.hidden * (4 if config.tied_head else 2)


def kv_of(config: ModelConfig, kept_as: str) -> Kv:
    """KeyError for an unknown name."""
    number, scale = KV_BYTES[kept_as]
    one_layer = 2 * config.kv_heads * (config.head_dim * number + scale)
    chunks = [layer.chunk for layer in config.layers if layer.chunk is not None]
    return Kv((len(config.layers) - len(chunks)) * one_layer, len(chunks) * one_layer, max(chunks, default=0))


def _vision(raw: Mapping[str, Any], text_hidden: int) -> int:
    """Llama 4's image encoder and what leads from it to the text model."""
    if not raw:
        return 0
    d, f, patch = int(raw["hidden_size"]), int(raw["intermediate_size"]), int(raw["patch_size"])
    positions = (int(raw["image_size"]) // patch) ** 2 + 1
    layer = 4 * (d * d + d) + 2 * d * f + f + d + 4 * d
    stem = int(raw.get("num_channels", 3)) * patch * patch * d + d + positions * d + 4 * d
    shuffled, inner = int(d / float(raw["pixel_shuffle_ratio"]) ** 2), int(raw["projector_input_dim"])
    adapter = shuffled * inner + inner * int(raw["projector_output_dim"])
    return int(raw["num_hidden_layers"]) * layer + stem + adapter + int(raw["vision_output_dim"]) * text_hidden
