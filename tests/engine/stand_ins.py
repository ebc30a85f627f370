"""Stand-ins for models: they compute nothing, they follow a script, and they remember what they were given.

Beside them one for a machine: what computes there is real.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine.errors import MemoryExhausted, RequestError
from engine.events import Event, Finished, Grown
from engine.memory import enough_memory
from engine.runner import Run, Runner
from engine.shape import LayerConfig, ModelConfig


def small_config(**changes: object) -> ModelConfig:
    values: dict[str, object] = {
        "vocabulary": 32,
        "hidden": 4,
        "heads": 2,
        "kv_heads": 1,
        "head_dim": 2,
        "expert_width": 4,
        "mlp_width": 4,
        "experts": 2,
        "experts_per_token": 1,
        "max_positions": 64,
        "norm_eps": 1e-5,
        "qk_norm": True,
        "temperature_tuning": True,
        "floor_scale": 8.0,
        "attn_scale": 0.1,
        "theta": 10_000.0,
        "rope_scaling": None,
        "tied_head": False,
        "layers": (LayerConfig(uses_rope=True, chunk=None, is_moe=True),),
        "prefix": "",
    }
    return ModelConfig(**{**values, **changes})  # type: ignore[arg-type]


class ScriptedRunner:
    """Says the token after the last one it was given (modulo 32). Fails at the steps it was told to fail at."""

    def __init__(self, fails_at: Sequence[int] = (), vocabulary: int = 32) -> None:
        self.fails_at, self.vocabulary = set(fails_at), vocabulary
        self.poisoned: set[int] = set()
        """Tokens after which the scores are no numbers."""
        self.starved_at: set[int] = set()
        """Steps for which there is not enough memory."""
        self.steps: list[list[tuple[int, ...]]] = []

    def step(self, runs: Sequence[Run]) -> Tensor:
        self.steps.append([tuple(run.ids) for run in runs])
        if len(self.steps) - 1 in self.fails_at:
            raise RuntimeError("the kernel fell over")
        if len(self.steps) - 1 in self.starved_at:
            raise MemoryExhausted("out_of_memory", "there was not enough memory for this step")
        wanted = [run.ids[at] for run in runs for at in run.wanted]
        for run in runs:
            run.slot.filled += len(run.ids)
        logits = torch.zeros(len(wanted), self.vocabulary)
        for row, token in enumerate(wanted):
            logits[row, (token + 1) % self.vocabulary] = float("nan") if token in self.poisoned else 50.0
        return logits


class LengthJudge:
    """Scores a text by its length, so that mixed-up rows show. Has memory for `holds` tokens at a time."""

    def __init__(
        self, fails: bool = False, packs: bool = False, batch_tokens: int = 256, holds: int = 1_000_000
    ) -> None:
        self.fails, self.packs, self.batch_tokens, self.holds = fails, packs, batch_tokens, holds
        self.batches: list[list[int]] = []

    def probabilities(self, batch: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        self.batches.append([len(ids) for ids in batch])
        if self.fails:
            raise RuntimeError("the kernel fell over")
        if sum(map(len, batch)) > self.holds:
            raise MemoryExhausted("out_of_memory", "there was not enough memory for this batch")
        return [(len(ids) / 1000, 1 - len(ids) / 1000) for ids in batch]


class LetterTokenizer:
    """Token n is the n-th letter from `a` on; tokens from 26 on are bytes that never become a character."""

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(97 + token) if token < 26 else "\ufffd" for token in ids)


class Heard:
    """A receiver that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Grown))

    @property
    def end(self) -> Event:
        assert isinstance(self.events[-1], Finished | RequestError)
        assert sum(isinstance(event, Finished | RequestError) for event in self.events) == 1
        return self.events[-1]


class Asked(TorchDispatchMode):
    """Notes each operation whose answer the host would have to wait for, were the tensors on another device."""

    WAITED_FOR = ("_local_scalar_dense", "nonzero", "bincount", "masked_select", "_unique2", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[str] = []
        self.strays: list[str] = []
        """Operations, other than sending it there, that met a tensor of the host beside one of another device."""

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__.split(".")[0]
        # An index of truth values is turned into places first.
        is_masked = name.startswith("index") and any(
            isinstance(one, Tensor) and one.dtype == torch.bool for one in (args[1] if len(args) > 1 else ()) or ()
        )
        if name in self.WAITED_FOR or is_masked:
            self.questions.append(name)
        flat = [one for given in args for one in (given if isinstance(given, list | tuple) else (given,))]
        devices = {one.device.type for one in flat if isinstance(one, Tensor)}
        if len(devices) > 1 and name not in ("copy_", "_to_copy", "to"):
            self.strays.append(name)
        return func(*args, **(kwargs or {}))


class Starved:
    """A real model on a machine whose allocator, asked in earnest, has nothing for steps of more than some tokens."""

    def __init__(self, runner: Runner, holds: int) -> None:
        self._runner, self._holds = runner, holds

    def step(self, runs: Sequence[Run]) -> Tensor:
        tokens = sum(len(run.ids) for run in runs)
        with enough_memory("there was not enough memory for this step"):
            torch.empty(2**50 if tokens > self._holds else tokens)
        return self._runner.step(runs)
