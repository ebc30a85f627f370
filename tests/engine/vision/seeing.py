"""Tiny random checkpoints that see, transformers' model of each, and pictures to show them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer

from tests.engine import tiny

CONTROLS = ("image_start", "image_end", "tile_x_separator", "tile_y_separator", "image", "patch")
SIDE, PATCHES = 16, 4
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "projector_input_dim": 24,
    "projector_output_dim": 24,
    "vision_output_dim": 24,
    "initializer_range": 0.25,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}


def byte_pairs(directory: Path) -> Tokenizer:
    """The tiny tokenizer with the control tokens of pictures behind all others."""
    tokenizer = tiny.byte_pairs(directory)
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in CONTROLS])
    tokenizer.save(str(directory / "tokenizer.json"))
    return tokenizer


def llama4(directory: Path, seed: int = 11, **text: Any) -> Any:
    """A Llama4ForConditionalGeneration checkpoint as transformers writes it; transformers' model of it."""
    from transformers import Llama4Config, Llama4ForConditionalGeneration
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    directory.mkdir(exist_ok=True)
    tokenizer = byte_pairs(directory)
    described = tiny.llama4_config(**{"vocab_size": 336, "max_position_embeddings": 1024, **text}).to_dict()
    patch = tokenizer.token_to_id("<|patch|>")
    config = Llama4Config(text_config=described, vision_config=VISION, image_token_index=patch)
    model = Llama4ForConditionalGeneration(config)
    # Offsets are zero and scales one in a new model: then nobody would notice that they are left out.
    for name, parameter in model.named_parameters():
        if name.startswith("vision_model") and ("bias" in name or "layernorm" in name):
            torch.nn.init.uniform_(parameter, 0.2, 1.2)
    model.save_pretrained(directory)
    tiny.sealed(directory)
    return model.eval()


def guard4(directory: Path, seed: int = 13) -> Any:
    """As Meta publishes Llama Guard 4: dense, all positions seen, null where transformers wants a number."""
    full = {"layer_types": ["full_attention"] * 4, "attention_chunk_size": 1024, "moe_layers": []}
    plain = {"no_rope_layers": [1] * 4, "attn_temperature_tuning": False}
    model = llama4(directory, seed, **full, **plain)
    raw = json.loads((directory / "config.json").read_text())
    del raw["text_config"]["layer_types"]
    raw["text_config"] |= {"attention_chunk_size": None, "num_local_experts": 0, "interleave_moe_layer_step": 0}
    (directory / "config.json").write_text(json.dumps(raw))
    tiny.sealed(directory)
    return model


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    """Every pixel of its own colour."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.frombytes("RGB", (width, height), pixels.numpy().tobytes())


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def url(data: bytes, kind: str = "image/png") -> str:
    """As a request brings it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
