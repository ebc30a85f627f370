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
from engine.generation_config import read_sampling, read_stop_ids
from engine.lanes import make_lane
from engine.memory import enough_memory
from engine.options import Options
from engine.parallel.share import Share
from engine.parallel.team import Team
from engine.placement import Asked, placed
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from engine.shape import ModelConfig
from engine.tokens import TextTokenizer
from engine.vision.eyes import Eyes, load_eyes
from engine.vision.look import Look


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
    asked = Asked(options.device, options.precision, options.only_cpu)
    place = placed(asked, config, read_object(directory / "config.json"), machine)
    eyes = load_eyes(directory, config, tokenizer, place.dtype, place.device)
    if options.offload and not any(layer.is_moe for layer in config.layers):
        raise ModelRefused("offload_unsupported", "`offload` is `experts`, and this model has no routed ones")
    lane, team = make_lane(directory, config, options, place, eyes.features if eyes is not None else None, machine)
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


def _chat_format(config: ModelConfig, tokenizer: TextTokenizer) -> ChatFormat | None:
    """Llama 4 has the turns of ChatFormat; a dense model may have them, too, or its own."""
    try:
        return ChatFormat(tokenizer)
    except ModelRefused:
        if config.is_dense_family:
            return None
        raise
