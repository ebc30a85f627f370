"""Tensors of one step: which tokens go through the model now, and whose logits come back.

A step mixes pieces of prompts with single next tokens of running answers, packed without padding. The runner writes
into the pieces' slots and advances them only when the whole step has succeeded. Pieces with the same adapter lie behind
one another, whatever order they came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from engine.adapters import Adapter
from engine.device import sent
from engine.memory import enough_memory
from engine.model.attention import Piece
from engine.model.decoder import ALONE, Company, forward
from engine.model.rope import frequencies
from engine.shape import ModelConfig
from engine.slot import Slot
from engine.vision.features import Features
from engine.vision.prompt import Placed, as_tokens
from engine.weights import Weights


@dataclass(frozen=True, slots=True)
class Run:
    """The next tokens of one sequence, and after which of them the logits are wanted, in order."""

    slot: Slot
    ids: Sequence[int]
    wanted: Sequence[int] = ()
    adapter: Adapter | None = None
    pictures: Sequence[Placed] = ()
    """What stands where an id is below zero."""


class Runner(Protocol):
    """The model as the scheduler sees it."""

    def step(self, runs: Sequence[Run]) -> Tensor:
        """Logits [s, v] in fp32, one row for each that is wanted, in the order of the runs.

        MemoryExhausted: nothing was advanced, and fewer runs may fit.
        """


class ModelRunner:
    """Runs steps of one set of weights."""

    def __init__(
        self, config: ModelConfig, weights: Weights, features: Features | None = None, company: Company = ALONE
    ) -> None:
        """`features`: what it sees with, if it does; `company`: who has the other shares of its layers."""
        self._config, self._weights, self._features, self._company = config, weights, features, company
        self._device = weights.embedding_vD.device
        self.frequencies_r = frequencies(config).to(self._device)

    def step(self, runs: Sequence[Run]) -> Tensor:
        with torch.inference_mode(), enough_memory("there was not enough memory for this step"):
            logits_sv = self.logits(runs)
        advance(runs)
        return logits_sv

    def logits(self, runs: Sequence[Run]) -> Tensor:
        """The same, in inference mode, and nothing is advanced."""
        laid = laid_out(runs)
        pieces = pieces_of(laid)
        wanted = rows_wanted(runs, laid, pieces)
        ids_t = torch.tensor(as_tokens([token for run in laid for token in run.ids]))
        positions_t = torch.cat([torch.arange(piece.start, piece.end) for piece in pieces])
        return forward(
            self._config,
            self._weights,
            self.frequencies_r,
            sent(ids_t, self._device),
            sent(positions_t, self._device),
            pieces,
            sent(torch.tensor(wanted, dtype=torch.long), self._device),
            worn(laid),
            self._seen(laid, pieces),
            self._company,
        )

    def _seen(self, laid: Sequence[Run], pieces: Sequence[Piece]) -> Iterator[tuple[int, Tensor]]:
        """(row of the batch, rows of the encoder from there on) for patches among the step's tokens."""
        for run, piece in zip(laid, pieces, strict=True):
            if run.pictures and self._features is not None:
                for position, rows_nD in self._features.rows(run.pictures, piece.start, piece.end):
                    yield piece.row + position - piece.start, rows_nD


def pieces_of(laid: Sequence[Run]) -> list[Piece]:
    """Their rows, one behind the other."""
    pieces, row = [], 0
    for run in laid:
        pieces.append(Piece(run.slot, row, run.slot.filled, len(run.ids)))
        row += len(run.ids)
    return pieces


def rows_wanted(runs: Sequence[Run], laid: Sequence[Run], pieces: Sequence[Piece]) -> list[int]:
    """In the order of the runs, whatever order they were laid out in."""
    begins = {id(run): piece.row for run, piece in zip(laid, pieces, strict=True)}
    return [begins[id(run)] + at for run in runs for at in run.wanted]


def advance(runs: Sequence[Run]) -> None:
    """What they held has gone through the model."""
    for run in runs:
        run.slot.filled += len(run.ids)


def laid_out(runs: Sequence[Run]) -> Sequence[Run]:
    """In the order of their rows: those without an adapter first, then those of each adapter together."""
    if all(run.adapter is None for run in runs):
        return runs
    return sorted(runs, key=lambda run: 0 if run.adapter is None else id(run.adapter))


def worn(laid: Sequence[Run]) -> list[tuple[slice, Adapter]]:
    """Which rows of the batch have which adapter."""
    groups: list[tuple[slice, Adapter]] = []
    end = 0
    for adapter, alike in groupby(laid, key=lambda run: run.adapter):
        begin, end = end, end + sum(len(run.ids) for run in alike)
        if adapter is not None:
            groups.append((slice(begin, end), adapter))
    return groups
