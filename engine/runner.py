"""Tensors of one step: which tokens go through the model now, and whose logits come back.

A step mixes pieces of prompts with single next tokens of running answers, packed without padding. The runner writes
into the pieces' slots and advances them only when the whole step has succeeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.kv_cache import Slot
from engine.model.attention import Piece
from engine.model.decoder import forward
from engine.model.rope import frequencies
from engine.shape import ModelConfig
from engine.weights import Weights


@dataclass(frozen=True, slots=True)
class Run:
    """The next tokens of one sequence, and after which of them the logits are wanted, in order."""

    slot: Slot
    ids: Sequence[int]
    wanted: Sequence[int] = ()


class Runner(Protocol):
    """The model as the scheduler sees it."""

    def step(self, runs: Sequence[Run]) -> Tensor:
        """Logits [s, v] in fp32, one row for each that is wanted, in the order of the runs."""


class ModelRunner:
    """Runs steps of one set of weights."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self._config, self._weights = config, weights
        self._frequencies_r = frequencies(config)

    def step(self, runs: Sequence[Run]) -> Tensor:
        pieces, row = [], 0
        for run in runs:
            pieces.append(Piece(run.slot, row, run.slot.filled, len(run.ids)))
            row += len(run.ids)
        wanted = [piece.row + at for piece, run in zip(pieces, runs, strict=True) for at in run.wanted]
        ids_t = torch.tensor([token for run in runs for token in run.ids])
        positions_t = torch.cat([torch.arange(piece.start, piece.end) for piece in pieces])
        wanted_s = torch.tensor(wanted, dtype=torch.long)
        with torch.inference_mode():
            logits = forward(self._config, self._weights, self._frequencies_r, ids_t, positions_t, pieces, wanted_s)
        for piece in pieces:
            piece.slot.filled = piece.end
        return logits
