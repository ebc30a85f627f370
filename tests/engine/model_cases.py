"""Shapes of models that differ where implementations go wrong, and our runner beside transformers' model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config import read_config
from engine.kv_cache import KvCache
from engine.runner import ModelRunner, Run
from engine.shape import ModelConfig
from engine.slot import Slot
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
    "unrouted": {"moe_layers": []},
    "all_full": {"layer_types": ["full_attention"] * 4, "attention_chunk_size": 256},
}
DENSE: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama_long_rope": {"rope_parameters": LLAMA3_ROPE},
    "long_llama": {"max_position_embeddings": 2048, "rope_parameters": LLAMA3_ROPE},
    "llama_tied": {"tie_word_embeddings": True, "num_key_value_heads": 4},
    "llama_wide_heads": {"head_dim": 16, "num_key_value_heads": 1},
    "mistral": {"family": "Mistral", "sliding_window": None},
    "qwen3": {"family": "Qwen3", "head_dim": 16},
    "granite": {
        "family": "Granite",
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.4,
        "attention_multiplier": 0.2,
        "logits_scaling": 2.5,
    },
}
GUARD: dict[str, Any] = {
    "attention_chunk_size": None,
    "moe_layers": [],
    "interleave_moe_layer_step": 0,
    "num_local_experts": 0,
    "no_rope_layers": [1, 1, 1, 1],
    "attn_temperature_tuning": False,
    "use_qk_norm": True,
}
"""What the text part of Llama Guard 4's published configuration says; transformers refuses to run it as it is."""
RUNS = sorted({*CASES, *DENSE, "guard"} - {"long_llama", "unrouted"})


class Pair:
    """One checkpoint, loaded by us and by transformers."""

    def __init__(self, directory: Path, case: str = "scout") -> None:
        self.oracle = _written(directory, case)
        self.config: ModelConfig = read_config(directory)
        self.weights = load_weights(directory, self.config)
        self.runner = ModelRunner(self.config, self.weights)

    def cache(self, capacity: int = 2048, **options: int) -> KvCache:
        return KvCache(self.config, capacity, **options)

    def slot(self, positions: int) -> Slot:
        return reserved(self.cache(), positions)

    def full(self, ids: list[int]) -> Tensor:
        """All logits of transformers' pass without a cache."""
        with torch.inference_mode():
            logits: Tensor = self.oracle(torch.tensor([ids]), use_cache=False).logits[0]
        return logits

    def last(self, ids: list[int], pieces: tuple[int, ...] = ()) -> Tensor:
        """Our logits of the last token, the prompt fed in pieces of the given sizes."""
        slot = self.slot(len(ids))
        done = 0
        for size in (*pieces, len(ids)):
            part = ids[done : done + size]
            done += len(part)
            if part:
                logits = self.runner.step([Run(slot, part, [len(part) - 1])])
        return logits[0]


def reserved(cache: KvCache, positions: int) -> Slot:
    """A slot of a cache that has room for it, to run over borders of chunks in one go."""
    slot = cache.reserve(positions, keeps_all=True)
    assert slot is not None
    return slot


def _written(directory: Path, case: str) -> Any:
    """The oracle for what it has written to `directory`."""
    if case in DENSE:
        changes = dict(DENSE[case])
        return tiny.dense(directory, changes.pop("family", "Llama"), **changes)
    if case == "guard":
        return tiny.llama_guard4(directory, **GUARD)
    return tiny.llama4(directory, **CASES[case]) and tiny.oracle(directory)


def prompt(length: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(9, 320, (length,), generator=generator).tolist()
