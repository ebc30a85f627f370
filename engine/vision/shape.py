"""The part of config.json that describes how a model sees, as numbers without defaults to guess."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config_shared import Raw, read_rope, refuse_unless_neutral
from engine.errors import ModelRefused
from engine.shape import wrong

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


def parse_vision(raw: Raw) -> VisionConfig:
    """ModelRefused, KeyError, TypeError or ValueError when the values do not describe such an encoder."""
    refuse_unless_neutral(raw, NEUTRAL)
    theta, scaling = read_rope(raw, DEFAULT_THETA)
    if scaling is not None:
        raise ModelRefused("model_unsupported", "`vision_config` scales its rotary positions, which is not computed")
    hidden, shrink = int(raw["hidden_size"]), round(1 / float(raw.get("pixel_shuffle_ratio", 0.5)))
    if float(raw.get("pixel_shuffle_ratio", 0.5)) * shrink != 1:
        raise wrong("vision_config.pixel_shuffle_ratio", raw["pixel_shuffle_ratio"], "one over a whole number")
    adapter = int(raw["projector_output_dim"])
    for key, expected in (("projector_input_dim", adapter), ("vision_output_dim", adapter)):
        if int(raw[key]) != expected:
            raise wrong(f"vision_config.{key}", raw[key], f"{expected}, as `projector_output_dim`")
    if int(raw["intermediate_size"]) != hidden * shrink * shrink:
        told = f"{hidden * shrink * shrink}, the patches of one token"
        raise wrong("vision_config.intermediate_size", raw["intermediate_size"], told)
    return VisionConfig(
        layers=int(raw["num_hidden_layers"]),
        hidden=hidden,
        heads=int(raw["num_attention_heads"]),
        mlp_width=int(raw["intermediate_size"]),
        side=_square(raw, "image_size"),
        patch=_square(raw, "patch_size"),
        shrink=shrink,
        adapter_width=adapter,
        theta=theta,
    )


def _square(raw: Raw, key: str) -> int:
    found = raw[key]
    if isinstance(found, list) and len(set(found)) == 1:
        found = found[0]
    if isinstance(found, list):
        raise wrong(f"vision_config.{key}", found, "the side of a square")
    return int(found)
