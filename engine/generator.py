"""A generating checkpoint, loaded and ready: the parts that one /v1/completions model consists of."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.adapters import Adapter, load_adapter
from engine.chain import Chain, chained
from engine.chat_format import ChatFormat
from engine.config import read_config
from engine.config_shared import read_object
from engine.constraint import Constraints
from engine.device import THIS, Machine
from engine.errors import BadRequest, MemoryExhausted, ModelRefused
from engine.events import Event, GenerateRequest, Sampling
from engine.form import GPU_DTYPES, form_for
from engine.fused.choose import fused, is_available
from engine.generation_config import read_sampling, read_stop_ids
from engine.gpu.runner import GPU_RUNNING, GPU_STEP_TOKENS, graph_runner
from engine.kv_cache import KvCache
from engine.kv_layout import BLOCK, layout_of
from engine.mapped import MappedFiles
from engine.memory import enough_memory, give_back
from engine.model.decoder import ALONE
from engine.pages import KV_PRECISIONS, block_bytes
from engine.parallel.share import Share, divided
from engine.parallel.team import Task, Team
from engine.placement import Asked, Placement, placed
from engine.runner import ModelRunner, Run, Runner
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from engine.shape import ModelConfig
from engine.tokens import TextTokenizer
from engine.vision.eyes import Eyes, load_eyes
from engine.vision.features import Features
from engine.vision.look import Look
from engine.weights import load_weights

DEFAULT_KV_BYTES, USUAL_POSITIONS = 1024**3, 8192
AS_STORED = ("fp32", "bf16")
"""Precisions that need no form of weights other than the file's."""
FIXED_PIECE = 64
"""Tokens of a piece of a prompt in deterministic mode: every score then comes from the same shapes."""


@dataclass(frozen=True, slots=True)
class Options:
    """How and where a checkpoint is run."""

    kv_bytes: int = 0
    """Memory for keys and values: of running sequences, and of beginnings that are kept. Zero: DEFAULT_KV_BYTES, or
    what a prompt of USUAL_POSITIONS needs if that is more; on a GPU a share of what the weights leave free."""
    precision: str = "fp32"
    """`auto`: fp32 on a processor, bf16 on a GPU."""
    is_deterministic: bool = False
    kv_precision: str = "auto"
    """How keys and values are kept: as the layers compute, `int8` or `fp8`."""
    offload: str = ""
    """`experts`: routed experts stay in their file."""
    resident_bytes: int = 0
    """How much of them may be in memory; zero: as much as the system has room for."""

    processes: int = 1
    """That share each layer between them."""
    device: str = "cpu"
    """One of DEVICES."""

    @property
    def asked(self) -> Asked:
        """Of a device."""
        only_cpu = "`offload`" if self.offload else "several `processes`" if self.processes > 1 else ""
        return Asked(self.device, self.precision, only_cpu)

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ModelRefused("parallel_unsupported", f"`processes` is {self.processes}, expected at least 1")
        if self.precision not in ("auto", *GPU_DTYPES):
            told = f"a generating model runs in {' or '.join(GPU_DTYPES)}, not in `{self.precision}`"
            raise ModelRefused("precision_unsupported", told)
        if self.kv_precision not in KV_PRECISIONS:
            told = f"keys and values are kept as {' or '.join(KV_PRECISIONS)}, not as `{self.kv_precision}`"
            raise ModelRefused("precision_unsupported", told)
        if self.offload and self.precision not in ("auto", *AS_STORED):
            told = f"experts that stay in their file run in {' or '.join(AS_STORED)}, not in `{self.precision}`"
            raise ModelRefused("offload_unsupported", told)

    @property
    def resident_bytes_each(self) -> int:
        """For each process; zero stays without a bound."""
        return -(-self.resident_bytes // self.processes)


@dataclass(frozen=True, slots=True)
class Generator:
    """What the wire needs to turn a body into sequences and their events into an answer."""

    tokenizer: TextTokenizer
    chat_format: ChatFormat | None
    """None for a model whose turns are not known here: it is asked with token ids."""
    stop_ids: frozenset[int]
    vocabulary: int
    defaults: Sampling
    """What the checkpoint's generation_config.json says about drawing tokens; requests may say otherwise."""
    lane: GenerateLane
    precision: str
    shape: ModelConfig
    dtype: torch.dtype
    """What the layers compute in."""
    constraints: Constraints
    eyes: Eyes | None = None
    """None: it reads only."""
    adapter: Adapter | None = None
    team: Team | None = None
    """The processes that have the other shares of it."""

    @property
    def chat(self) -> ChatFormat:
        if self.chat_format is None:
            raise BadRequest("no_chat_format", "this model's turns are not known here: send token ids", "prompt")
        return self.chat_format

    def look(self) -> Look:
        """What it makes of the pictures of one request."""
        return Look(self.eyes, self.lane.max_model_len)

    def units(self, sequences: ListOf[Sequence]) -> ListOf[Sequence | Chain]:
        """What the lane runs for the sequences of one request. Repeatable scores come from sequences on their own."""
        return sequences if self.lane.is_deterministic else chained(sequences)

    def sequence(self, request: GenerateRequest, receiver: Callable[[Event], None]) -> Sequence:
        if self.adapter is not None:
            request = replace(request, adapter=self.adapter)
        return Sequence(request, self.tokenizer, self.stop_ids, receiver)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.lane.cache.pages.keys_lkpd.device

    def adapted(self, directory: Path) -> Generator:
        """The same model with an adapter, over the same lane. ModelRefused when the directory holds none for it."""
        if self.team is None:
            return replace(self, adapter=load_adapter(directory, self.shape, self.dtype, self.device))
        adapter = load_adapter(directory, self.shape, self.dtype, share=Share(0, self.team.world))
        self.team.add(adapter, directory.absolute())
        return replace(self, adapter=adapter)


def load_generator(directory: Path, options: Options, machine: Machine = THIS) -> Generator:
    """Read a verified directory. ModelRefused when it is no whole checkpoint of a known family with its tokenizer."""
    try:
        with enough_memory("there is not enough memory for this model"):
            return _load(directory, options, machine)
    except MemoryExhausted as exc:
        raise ModelRefused("device_full", exc.problem) from exc


def _load(directory: Path, options: Options, machine: Machine) -> Generator:
    config = read_config(directory)
    tokenizer = TextTokenizer.from_file(directory / "tokenizer.json")
    if tokenizer.size > config.vocabulary:
        told = f"the tokenizer has ids up to {tokenizer.size - 1}, the model embeddings for {config.vocabulary}"
        raise ModelRefused("tokenizer_invalid", told)
    chat = _chat_format(config, tokenizer)
    place = placed(options.asked, config, read_object(directory / "config.json"), machine)
    eyes = load_eyes(directory, config, tokenizer, place.dtype, place.device)
    if options.offload and not any(layer.is_moe for layer in config.layers):
        raise ModelRefused("offload_unsupported", "`offload` is `experts`, and this model has no routed ones")
    lane, team = _lane(directory, config, options, place, eyes.features if eyes is not None else None, machine)
    stop_ids = read_stop_ids(directory) | (chat.stop_ids if chat is not None else frozenset())
    return Generator(
        tokenizer,
        chat,
        stop_ids,
        config.vocabulary,
        read_sampling(directory),
        lane,
        place.precision,
        config,
        place.dtype,
        Constraints(tokenizer, config.vocabulary, stop_ids),
        eyes,
        team=team,
    )


def _lane(
    directory: Path,
    config: ModelConfig,
    options: Options,
    place: Placement,
    features: Features | None,
    machine: Machine,
) -> tuple[GenerateLane, Team | None]:
    """With the weights and the memory for keys and values, warm; and who else has shares of it."""
    mapped = MappedFiles(options.resident_bytes_each) if options.offload else None
    in_loops = is_available() and not place.is_gpu and options.processes == 1
    form = form_for(place.precision, place.device, place.is_gpu, in_loops)
    share = Share(0, options.processes)
    part, team = divided(config, options.processes), _team(directory, options, place.precision)
    dtype = place.dtype
    weights = load_weights(directory, config, dtype, form, mapped, share)
    give_back()
    kv_bytes = place.kv_bytes(options.kv_bytes, machine) // options.processes
    capacity = capacity_for(part, kv_bytes, dtype, options.kv_precision)
    if place.is_gpu and not options.kv_bytes:
        # There is room for far more than a small model could ever use.
        capacity = min(capacity, GPU_RUNNING * (config.max_positions // BLOCK + 1) * BLOCK)
    grain = FIXED_PIECE if options.is_deterministic else 1
    cache = KvCache(part, capacity, dtype, grain=grain, kept_as=options.kv_precision, device=place.device)
    if team is not None:
        cache.pages.told = team.copied
    pieces = ModelRunner(part, weights, features, team or ALONE)
    if not place.is_gpu:
        on_cpu = fused(part, weights, pieces, in_loops)
        _warm_up(on_cpu, cache)
        return GenerateLane(on_cpu, cache, config.max_positions), team
    runner = graph_runner(part, weights, pieces, cache)
    _warm_up(runner, cache)
    return GenerateLane(runner, cache, config.max_positions, GPU_RUNNING, step_tokens=GPU_STEP_TOKENS), None


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


def _chat_format(config: ModelConfig, tokenizer: TextTokenizer) -> ChatFormat | None:
    """Llama 4 has the turns of ChatFormat; a dense model may have them, too, or its own."""
    try:
        return ChatFormat(tokenizer)
    except ModelRefused:
        if config.is_dense_family:
            return None
        raise


def _warm_up(runner: Runner, cache: KvCache) -> None:
    """First calls of torch's kernels are slow, and a model that cannot compute should say so before it is served."""
    slot = cache.reserve(min(34, cache.blocks // cache.layout.units * BLOCK), keeps_all=True)
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
