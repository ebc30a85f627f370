"""Shapes of Llama 4 that differ where implementations go wrong, and our runner beside transformers' model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config import ModelConfig, read_config
from engine.kv_cache import KvCache
from engine.runner import Llama4Runner, Run
from engine.weights import load_weights
from tests.engine import tiny

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CASES: dict[str, dict[str, Any]] = {
    "scout": {},
    "maverick": {"use_qk_norm": False, "interleave_moe_layer_step": 2, "num_local_experts": 8},
    "no_temperature": {"attn_temperature_tuning": False},
    "two_experts": {"num_experts_per_tok": 2},
    "long_rope": {"rope_parameters": LLAMA3_ROPE},
    "all_full": {"layer_types": ["full_attention"] * 4, "attention_chunk_size": 256},
}


class Pair:
    """One checkpoint, loaded by us and by transformers."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        from transformers import Llama4ForCausalLM

        tiny.llama4(directory, **changes)
        self.config: ModelConfig = read_config(directory)
        self.runner = Llama4Runner(self.config, load_weights(directory, self.config))
        self.oracle = Llama4ForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

    def cache(self, capacity: int = 1024) -> KvCache:
        return KvCache(self.config, capacity)

    def full(self, ids: list[int]) -> Tensor:
        """All logits of transformers' pass without a cache."""
        with torch.inference_mode():
            logits: Tensor = self.oracle(torch.tensor([ids]), use_cache=False).logits[0]
        return logits

    def last(self, ids: list[int], pieces: tuple[int, ...] = ()) -> Tensor:
        """Our logits of the last token, the prompt fed in pieces of the given sizes."""
        slot = self.cache().reserve(len(ids))
        done = 0
        for size in (*pieces, len(ids)):
            part = ids[done : done + size]
            done += len(part)
            if part:
                logits = self.runner.step([Run(slot, part, wants_logits=True)])
        return logits[0]


def prompt(length: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(9, 320, (length,), generator=generator).tolist()
