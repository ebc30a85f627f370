"""Steps of a few rows through compiled loops, all others through torch.

Which way a step goes depends on how many rows it has and whose they are, never on what is in them, so the same steps
give the same scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.fused.layers import Layers, Memory, array
from engine.fused.loops import Ints, add_and_norm
from engine.fused.plan import plans
from engine.fused.products import product
from engine.memory import enough_memory
from engine.model.rope import frequencies
from engine.pages import Pages
from engine.runner import Run, Runner, advance, pieces_of
from engine.shape import ModelConfig
from engine.weights import Weights

FEW = 32
"""Rows of a step. For more, torch's products of many rows are faster, and what lies between them matters less."""


class FusedRunner:
    """Runs the steps of one set of weights on a processor."""

    def __init__(self, config: ModelConfig, weights: Weights, otherwise: Runner) -> None:
        """`otherwise` runs what is not for the loops: pieces of prompts, adapters, pictures."""
        self._config, self._otherwise = config, otherwise
        self._embedding_vD = weights.embedding_vD
        self._layers = Layers(config, weights.layers, frequencies(config), weights.embedding_vD.dtype)
        self._known: tuple[Pages, list[Memory]] | None = None
        self._norm_D, self._head = array(weights.norm), product(weights.head_vD, torch.float32)

    def step(self, runs: Sequence[Run]) -> Tensor:
        if not self._is_for_loops(runs):
            return self._otherwise.step(runs)
        with torch.inference_mode(), enough_memory("there was not enough memory for this step"):
            logits_sv = self._logits(runs)
        advance(runs)
        return logits_sv

    def _is_for_loops(self, runs: Sequence[Run]) -> bool:
        rows = sum(len(run.ids) for run in runs)
        plain = type(runs[0].slot.pages) is Pages
        return rows <= FEW and plain and all(run.adapter is None and min(run.ids) >= 0 for run in runs)

    def _logits(self, runs: Sequence[Run]) -> Tensor:
        pieces = pieces_of(runs)
        wanted = [piece.row + at for run, piece in zip(runs, pieces, strict=True) for at in run.wanted]
        positions: Ints = np.concatenate([np.arange(piece.start, piece.end) for piece in pieces])
        x_tD = array(self._embedding_vD[torch.tensor([token for run in runs for token in run.ids])])
        pages = pieces[0].slot.pages
        planned = plans(pieces, pages.layout)
        x_sD = self._layers.through(x_tD, positions, self._memories(pages), planned)[wanted]
        add_and_norm(x_sD, np.zeros_like(x_sD), self._norm_D, self._config.norm_eps, x_sD)
        return torch.from_numpy(self._head(x_sD))

    def _memories(self, pages: Pages) -> list[Memory]:
        """Of every layer, as arrays over the same memory; kept, because a model has one memory while it is served."""
        if self._known is None or self._known[0] is not pages:
            self._known = pages, memories(pages)
        return self._known[1]


def memories(pages: Pages) -> list[Memory]:
    """numpy has no bf16: its bits are whole numbers there."""
    is_bf16 = pages.keys_lkpd.dtype == torch.bfloat16
    pools = [one.view(torch.uint16) if is_bf16 else one for one in (pages.keys_lkpd, pages.values_lkpd)]
    keys_lkpd, values_lkpd = (one.numpy() for one in pools)
    return [(keys_lkpd[home.row], values_lkpd[home.row]) for home in pages.layout.homes]
