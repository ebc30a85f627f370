"""What a model sees with, put together from its checkpoint: pictures to tiles, to tokens of a prompt, to rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from engine.device import CPU
from engine.shape import ModelConfig
from engine.tokens import TextTokenizer
from engine.vision.encoder import Encoder
from engine.vision.features import Features
from engine.vision.prompt import PictureFormat
from engine.vision.weights import has_vision, load_vision


@dataclass(frozen=True, slots=True)
class Eyes:
    """For one model."""

    side: int
    """Of a tile, in pixels."""
    format: PictureFormat
    features: Features


def load_eyes(
    directory: Path, config: ModelConfig, tokenizer: TextTokenizer, dtype: torch.dtype, device: torch.device = CPU
) -> Eyes | None:
    """None for a model that reads only, and for the text part of a checkpoint on its own. ModelRefused as usual."""
    vision = config.vision
    if vision is None or not has_vision(directory):
        return None
    encoder = Encoder(vision, load_vision(directory, vision, config.hidden, dtype, device))
    return Eyes(vision.side, PictureFormat(tokenizer, vision.tokens), Features(encoder, vision.tokens))
