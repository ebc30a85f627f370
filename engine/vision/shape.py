"""The part of config.json that describes how a model sees, as numbers without defaults to guess."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config_shared import read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.shape import MOST_LAYERS
from engine.stated import Stated, wrong

DEFAULT_THETA = 10_000.0
NEUTRAL = {
    "hidden_act": "gelu",
    "norm_eps": 1e-5,
    "num_channels": 3,
    "vision_feature_select_strategy": "default",
    "multi_modal_projector_bias": False,
    "quantization_config": None,
}


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Everything that the encoder's forward pass depends on besides its weights."""

    layers: int
    hidden: int
    heads: int
    mlp_width: int
    side: int
    """Of a tile, in pixels."""
    patch: int
    """Of a patch, in pixels."""
    shrink: int
    """Neighbouring patches that become one token, in each direction."""
    adapter_width: int
    theta: float

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "mlp_width", "side", "patch", "shrink", "adapter_width"):
            if getattr(self, name) < 1:
                raise wrong(f"vision_config.{name}", getattr(self, name), "a positive integer")
        if self.side % self.patch or (self.side // self.patch) % self.shrink:
            raise wrong("vision_config.image_size", self.side, f"a multiple of {self.patch * self.shrink}")
        if self.hidden % self.heads or (self.hidden // self.heads) % 4:
            raise wrong("vision_config.num_attention_heads", self.heads, "heads of a multiple of four dimensions")

    @property
    def across(self) -> int:
        """Patches in a row of a tile."""
        return self.side // self.patch

    @property
    def tokens(self) -> int:
        """Of a tile, as the text model sees it."""
        return (self.across // self.shrink) ** 2


def parse_vision(stated: Stated) -> VisionConfig:
    """ModelRefused when the values do not describe such an encoder."""
    refuse_unless_neutral(stated.raw, NEUTRAL)
    theta, scaling = read_rope(stated, DEFAULT_THETA)
    if scaling is not None:
        raise ModelRefused("model_unsupported", "`vision_config` scales its rotary positions, which is not computed")
    hidden, width, shrink = stated.whole("hidden_size"), stated.whole("intermediate_size"), _shrink(stated)
    adapter = stated.whole("projector_output_dim")
    for key in ("projector_input_dim", "vision_output_dim"):
        if stated.whole(key) != adapter:
            raise wrong(stated.name(key), stated.raw[key], f"{adapter}, as `projector_output_dim`")
    if width != hidden * shrink * shrink:
        told = f"{hidden * shrink * shrink}, the patches of one token"
        raise wrong(stated.name("intermediate_size"), width, told)
    return VisionConfig(
        layers=stated.whole("num_hidden_layers", high=MOST_LAYERS),
        hidden=hidden,
        heads=stated.whole("num_attention_heads"),
        mlp_width=width,
        side=_square(stated, "image_size"),
        patch=_square(stated, "patch_size"),
        shrink=shrink,
        adapter_width=adapter,
        theta=theta,
    )


def _shrink(stated: Stated) -> int:
    ratio = stated.number("pixel_shuffle_ratio", 0.5, 0, is_above=True)
    shrink = round(1 / ratio)
    if ratio * shrink != 1:
        raise wrong(stated.name("pixel_shuffle_ratio"), ratio, "one over a whole number")
    return shrink


def _square(stated: Stated, key: str) -> int:
    """The side, given once or for both directions."""
    found = stated.raw.get(key)
    sides = found if isinstance(found, list) and found else [found]
    if any(one != sides[0] for one in sides):
        raise wrong(stated.name(key), found, "the side of a square")
    return Stated({key: sides[0]}, "vision_config").whole(key)
