"""A tiny LlamaForCausalLM with random weights that nevertheless answers as Llama Guard does.

Each word of the answer leaves a direction of its own in the residual stream, and the head turns that direction into the
words that may follow: a blank line or a verdict after the header, a line break or the end after `unsafe`, a number
after `S`. Which of them is likelier is random and depends on everything before, which is what a test of scores needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from tests.doubles import write_manifest
from tests.guards.generative.stand_ins import write_guard

USE = "llama_guard_3_1b"
FOLLOWS = (
    (("<|end_header_id|>",), ("\n\n", "safe", "unsafe")),
    (("\n\n",), ("safe", "unsafe")),
    (("unsafe", "safe"), ("\n", "<|eot_id|>")),
    (("S", ",S"), tuple(map(str, range(1, 14)))),
    (tuple(map(str, range(1, 14))), (",S", "<|eot_id|>")),
    (("\n",), ("S",)),
)


def tiny_guard(directory: Path, seed: int = 4) -> Any:
    """The checkpoint's directory filled; transformers' model of it."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    write_guard(directory, USE)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4_096,
        initializer_range=0.15,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=tokenizer.token_to_id("<|eot_id|>"),
    )
    model = LlamaForCausalLM(config).eval()
    teach(model, tokenizer)
    model.save_pretrained(directory)
    write_manifest(directory)
    return model


def teach(model: Any, tokenizer: Tokenizer, follows: Sequence[tuple[Sequence[str], Sequence[str]]] = FOLLOWS) -> None:
    """The words that may follow each other, written into a model of 64 dimensions."""
    directions = torch.linalg.qr(torch.randn(64, len(follows)))[0].T
    with torch.no_grad():
        for direction, (words, following) in zip(directions, follows, strict=True):
            model.model.embed_tokens.weight[[_id(tokenizer, word) for word in words]] += 9 * direction
            model.lm_head.weight[[_id(tokenizer, word) for word in following]] += 2.5 * direction


def _id(tokenizer: Tokenizer, word: str) -> int:
    found = tokenizer.token_to_id(word)
    return int(found if found is not None else tokenizer.encode(word, add_special_tokens=False).ids[0])
