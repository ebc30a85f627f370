"""What the forward pass depends on besides the weights, as numbers without defaults to guess.

Every dialect of config.json becomes one ModelConfig. Its values check themselves: a model whose numbers do not fit
together is refused before a tensor is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.stated import wrong

if TYPE_CHECKING:
    from engine.vision.shape import VisionConfig

MOST_LAYERS: Final = 4096
"""Of a model that somebody meant."""


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """The `llama3` stretching of slow rotations."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int


@dataclass(frozen=True, slots=True)
class LayerConfig:
    """What differs between layers."""

    uses_rope: bool
    chunk: int | None
    """Attention stays within chunks of this many positions; None: all earlier positions are seen."""
    is_moe: bool


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Constant factors that a Granite model has and no other: one everywhere changes nothing."""

    embedding: float = 1.0
    residual: float = 1.0
    logits: float = 1.0
    attention: float | None = None
    """Scale of queries times keys; None: one over the root of the head dimension."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything that the forward pass depends on besides the weights."""

    vocabulary: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    expert_width: int
    mlp_width: int
    experts: int
    experts_per_token: int
    max_positions: int
    norm_eps: float
    qk_norm: bool
    """Queries and keys get unit length after the rotation, without a weight, as in Llama 4."""
    temperature_tuning: bool
    floor_scale: float
    attn_scale: float
    theta: float
    rope_scaling: RopeScaling | None
    tied_head: bool
    layers: tuple[LayerConfig, ...]
    prefix: str
    """What tensor names start with: empty, or `language_model.` in a multimodal checkpoint."""
    is_dense_family: bool = False
    """Llama 3 and its relatives: tensors of a feed-forward are called `mlp`, rotations pair the halves of a head."""
    weighted_qk_norm: bool = False
    """Queries and keys pass a norm with a weight before the rotation, as in Qwen 3."""
    multipliers: Multipliers = Multipliers()
    vision: VisionConfig | None = None
    """None: the model reads only."""

    def __post_init__(self) -> None:
        for name in ("vocabulary", "hidden", "heads", "kv_heads", "head_dim", "mlp_width", "max_positions"):
            if getattr(self, name) < 1:
                raise wrong(name, getattr(self, name), "a positive integer")
        if not self.layers:
            raise wrong("num_hidden_layers", 0, "a positive integer")
        if self.heads % self.kv_heads:
            raise wrong("num_key_value_heads", self.kv_heads, f"a divisor of {self.heads}")
        if self.head_dim % 2:
            raise wrong("head_dim", self.head_dim, "an even number")
        if any(layer.is_moe for layer in self.layers):
            if not 1 <= self.experts_per_token <= self.experts:
                raise wrong("num_experts_per_tok", self.experts_per_token, f"1 to {self.experts}")
            if self.expert_width < 1:
                raise wrong("intermediate_size", self.expert_width, "a positive integer")

    @property
    def values_per_position(self) -> int:
        """Numbers that one position needs in the cache of keys and values."""
        return 2 * len(self.layers) * self.kv_heads * self.head_dim
