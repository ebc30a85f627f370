"""A generating checkpoint, loaded and ready: the parts that one /v1/completions model consists of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.chat_format import ChatFormat
from engine.config import ModelConfig, read_config
from engine.errors import ModelRefused
from engine.events import Event, GenerateRequest, Sampling
from engine.kv_cache import KvCache
from engine.runner import Llama4Runner, Run
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from engine.tokens import TextTokenizer
from engine.weights import load_weights

BYTES_PER_VALUE = 4


@dataclass(frozen=True, slots=True)
class Generator:
    """What the wire needs to turn a body into sequences and their events into an answer."""

    tokenizer: TextTokenizer
    chat: ChatFormat
    stop_ids: frozenset[int]
    vocabulary: int
    defaults: Sampling
    """What the checkpoint's generation_config.json says about drawing tokens; requests may say otherwise."""
    lane: GenerateLane

    def sequence(self, request: GenerateRequest, receiver: Callable[[Event], None]) -> Sequence:
        return Sequence(request, self.tokenizer, self.stop_ids, receiver)


def load_generator(directory: Path, kv_bytes: int) -> Generator:
    """Read a verified directory. ModelRefused when it is not a whole Llama 4 checkpoint with its tokenizer."""
    config = read_config(directory)
    tokenizer = TextTokenizer.from_file(directory / "tokenizer.json")
    if tokenizer.size > config.vocabulary:
        told = f"the tokenizer has {tokenizer.size} tokens, the model {config.vocabulary}"
        raise ModelRefused("tokenizer_invalid", told)
    chat = ChatFormat(tokenizer)
    runner = Llama4Runner(config, load_weights(directory, config))
    cache = KvCache(config, capacity_for(config, kv_bytes))
    _warm_up(runner, cache)
    lane = GenerateLane(runner, cache, config.max_positions)
    stop_ids = _stop_ids(directory) | chat.stop_ids
    return Generator(tokenizer, chat, stop_ids, config.vocabulary, _defaults(directory), lane)


def capacity_for(config: ModelConfig, kv_bytes: int) -> int:
    """Positions of all running sequences together that fit into `kv_bytes`."""
    per_position = 2 * len(config.layers) * config.kv_heads * config.head_dim * BYTES_PER_VALUE
    positions = kv_bytes // per_position
    if positions < 2:
        raise ModelRefused("kv_too_small", f"{kv_bytes} bytes hold no two positions of {per_position} bytes each")
    return positions


def _warm_up(runner: Llama4Runner, cache: KvCache) -> None:
    """First calls of torch's kernels are slow, and a model that cannot compute should say so before it is served."""
    slot = cache.reserve(min(34, cache.capacity))
    try:
        with torch.inference_mode():
            logits = runner.step([Run(slot, [0] * (slot.size - 1), wants_logits=True)])
            runner.step([Run(slot, [0], wants_logits=True)])
    finally:
        cache.release(slot)
    if not torch.isfinite(logits).all():
        raise ModelRefused("not_finite", "the model's scores are not finite numbers")


def _defaults(directory: Path) -> Sampling:
    raw = _json(directory / "generation_config.json")
    if raw.get("do_sample") is False:
        return Sampling(temperature=0.0)
    return Sampling(
        temperature=float(raw.get("temperature", 1.0)),
        top_p=float(raw.get("top_p", 1.0)),
        top_k=int(raw.get("top_k") or 0),
        min_p=float(raw.get("min_p") or 0.0),
    )


def _json(path: Path) -> dict[str, Any]:
    """An object, empty when there is no such file."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, RecursionError) as exc:
        raise ModelRefused("config_invalid", f"`{path}` cannot be read as JSON") from exc
    if not isinstance(raw, dict):
        raise ModelRefused("config_invalid", f"`{path}` is not a JSON object")
    return raw


def _stop_ids(directory: Path) -> frozenset[int]:
    """The union of what both configuration files name as end of an answer."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        raw = _json(directory / name)
        stated = raw.get("eos_token_id", (raw.get("text_config") or {}).get("eos_token_id"))
        found |= set(stated if isinstance(stated, list) else [stated]) - {None}
    return frozenset(found)
