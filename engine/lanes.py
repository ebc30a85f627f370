"""The lane of one generating model: its weights, the memory for keys and values, what computes, and the order of work.

Everything is there and warm before the first request, so what a machine cannot do is said when the host starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from engine.device import Machine
from engine.errors import ModelRefused
from engine.form import form_for
from engine.fused.choose import fused, is_available
from engine.gpu.runner import GPU_RUNNING, GPU_STEP_TOKENS, graph_runner
from engine.kv_cache import KvCache
from engine.kv_layout import BLOCK, layout_of
from engine.mapped import MappedFiles
from engine.memory import give_back
from engine.model.decoder import ALONE
from engine.options import Options
from engine.pages import block_bytes
from engine.parallel.share import Share, divided
from engine.parallel.team import Task, Team
from engine.placement import Placement
from engine.runner import ModelRunner, Run, Runner
from engine.scheduler import GenerateLane
from engine.shape import ModelConfig
from engine.vision.features import Features
from engine.weights import Weights, load_weights

DEFAULT_KV_BYTES: Final = 1024**3
USUAL_POSITIONS: Final = 8192
FIXED_PIECE: Final = 64
"""Tokens of a piece of a prompt in deterministic mode: every score then comes from the same shapes."""
WARM_POSITIONS: Final = 34
"""Of the first text: a few blocks, and more rows than one that loops compute."""


def make_lane(
    directory: Path,
    config: ModelConfig,
    options: Options,
    place: Placement,
    features: Features | None,
    machine: Machine,
) -> tuple[GenerateLane, Team | None]:
    """Warm; and who else has shares of it. `config`: of the whole model; `features`: what it sees with, if it does."""
    part, team = divided(config, options.processes), _team(directory, options, place.precision)
    in_loops = is_available() and not place.is_gpu and options.processes == 1
    weights = _weights(directory, config, options, place, in_loops)
    cache = _cache(part, options, place, machine)
    if team is not None:
        cache.pages.told = team.copied
    pieces = ModelRunner(part, weights, features, team or ALONE)
    runner: Runner
    if place.is_gpu:
        runner = graph_runner(part, weights, pieces, cache)
        lane = GenerateLane(runner, cache, config.max_positions, GPU_RUNNING, step_tokens=GPU_STEP_TOKENS)
    else:
        runner = fused(part, weights, pieces, in_loops)
        lane = GenerateLane(runner, cache, config.max_positions)
    _warm_up(runner, cache)
    return lane, team


def _weights(directory: Path, config: ModelConfig, options: Options, place: Placement, in_loops: bool) -> Weights:
    """This process's share of them."""
    mapped = MappedFiles(options.resident_bytes_each) if options.offload else None
    form = form_for(place.precision, place.device, place.is_gpu, in_loops)
    weights = load_weights(directory, config, place.dtype, form, mapped, Share(0, options.processes))
    give_back()
    return weights


def _cache(config: ModelConfig, options: Options, place: Placement, machine: Machine) -> KvCache:
    """As much as was asked for, or is usual."""
    kv_bytes = place.kv_bytes(options.kv_bytes, machine) // options.processes
    capacity = capacity_for(config, kv_bytes, place.dtype, options.kv_precision)
    if place.is_gpu and not options.kv_bytes:
        # There is room for far more than a small model could ever use.
        capacity = min(capacity, GPU_RUNNING * (config.max_positions // BLOCK + 1) * BLOCK)
    grain = FIXED_PIECE if options.is_deterministic else 1
    return KvCache(config, capacity, place.dtype, grain=grain, kept_as=options.kv_precision, device=place.device)


def _team(directory: Path, options: Options, precision: str) -> Team | None:
    """The further processes."""
    if options.processes == 1:
        return None
    kv_bytes, threads = options.kv_bytes // options.processes, torch.get_num_threads() // options.processes
    return Team(
        Task(
            directory,
            options.processes,
            precision,
            kv_bytes,
            options.kv_precision,
            max(1, threads),
            options.offload,
            options.resident_bytes_each,
        )
    )


def capacity_for(config: ModelConfig, kv_bytes: int, dtype: torch.dtype = torch.float32, kept_as: str = "auto") -> int:
    """Positions that fit into `kv_bytes` if all layers keep all of them, in whole blocks."""
    layout = layout_of(config)
    per_row = layout.units * block_bytes(config, layout, dtype, kept_as)
    usual = -(-min(config.max_positions, USUAL_POSITIONS) // BLOCK)
    rows = kv_bytes // per_row if kv_bytes else max(DEFAULT_KV_BYTES // per_row, usual)
    if rows < 1:
        raise ModelRefused("kv_too_small", f"{kv_bytes} bytes hold no block of {BLOCK} positions: {per_row} bytes")
    return rows * BLOCK


def _warm_up(runner: Runner, cache: KvCache) -> None:
    """First calls of torch's kernels are slow, and a model that cannot compute should say so before it is served."""
    slot = cache.reserve(min(WARM_POSITIONS, cache.blocks // cache.layout.units * BLOCK), keeps_all=True)
    if slot is None:
        raise AssertionError("an empty cache has room")
    try:
        with torch.inference_mode():
            logits = runner.step([Run(slot, [0] * (slot.size - 1), [slot.size - 2])])
            runner.step([Run(slot, [0], [0])])
    finally:
        cache.release(slot)
    if not torch.isfinite(logits).all():
        raise ModelRefused("not_finite", "the model's scores are not finite numbers")
