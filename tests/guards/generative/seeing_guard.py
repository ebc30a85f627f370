"""A tiny Llama4ForConditionalGeneration with random weights that answers as Llama Guard 4 does, and is shown pictures.

What stands for a picture in the published template is not known here: this one writes a mark before the text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from tests.doubles import write_manifest
from tests.engine import tiny
from tests.engine.vision import seeing
from tests.guards.generative.stand_ins import LLAMA4, template_of, tokenizer_of, write_guard
from tests.guards.generative.tiny_guard import FOLLOWS, teach

USE = "llama_guard_4"
TEXTS_ONLY = (
    "{%- for content in message['content'] | selectattr('type', 'equalto', 'text') -%}\n"
    "{{- speaker + ': ' + content['text'] | trim + '\\\\n\\\\n\\n\\n' -}}\n"
    "{%- endfor -%}"
)
WITH_PICTURES = (
    "{{- speaker + ': ' -}}\n"
    "{%- for content in message['content'] -%}\n"
    "{%- if content['type'] == 'image' -%}{{- '<|image|>' -}}{%- else -%}{{- content['text'] | trim -}}{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{{- '\\\\n\\\\n\\n\\n' -}}"
)
CONTROLS = (*LLAMA4, *(f"<|{name}|>" for name in seeing.CONTROLS))


def template() -> str:
    text = template_of(USE)
    assert TEXTS_ONLY in text
    return text.replace(TEXTS_ONLY, WITH_PICTURES)


def write_seeing_guard(directory: Path, shows: bool = True) -> Tokenizer:
    """Everything but weights; its tokenizer."""
    tokenizer = tokenizer_of(CONTROLS)
    write_guard(directory, USE, template() if shows else None, vocab_size=tokenizer.get_vocab_size())
    tokenizer.save(str(directory / "tokenizer.json"))
    write_manifest(directory)
    return tokenizer


def seeing_guard(directory: Path, seed: int = 4) -> Any:
    """The checkpoint's directory filled; transformers' model of it."""
    from transformers import Llama4Config, Llama4ForConditionalGeneration
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = write_seeing_guard(directory)
    torch.manual_seed(seed)
    text = tiny.llama4_config(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size_mlp=96, num_hidden_layers=2,
        head_dim=16, num_local_experts=0, moe_layers=[], no_rope_layers=[1, 1], attn_temperature_tuning=False,
        layer_types=["full_attention"] * 2, attention_chunk_size=8192, max_position_embeddings=8192,
        initializer_range=0.15, bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=tokenizer.token_to_id("<|eot|>"), pad_token_id=None,
    ).to_dict()  # fmt: skip
    patch = tokenizer.token_to_id("<|patch|>")
    config = Llama4Config(text_config=text, vision_config=seeing.VISION, image_token_index=patch)
    model = Llama4ForConditionalGeneration(config).eval()
    follows = tuple((tuple(_llama4(word) for word in words), tuple(map(_llama4, after))) for words, after in FOLLOWS)
    teach(model.language_model, tokenizer, follows)
    model.save_pretrained(directory)
    write_manifest(directory)
    return model


def _llama4(word: str) -> str:
    return {"<|end_header_id|>": "<|header_end|>", "<|eot_id|>": "<|eot|>"}.get(word, word)
