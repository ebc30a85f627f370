"""Steps of a few rows through compiled loops, all others through torch.

Which way a step goes depends on how many rows it has and on whether patches of pictures are among them, never on what
else is in them, so the same steps give the same scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.fused.layers import Layers, array
from engine.fused.loops import Ints, add_and_norm
from engine.fused.low_rank import Adapters
from engine.fused.memory import Memory, memories
from engine.fused.plan import plans
from engine.fused.products import product
from engine.memory import enough_memory
from engine.model.rope import frequencies
from engine.pages import Pages
from engine.runner import Run, Runner, advance, laid_out, pieces_of, rows_wanted, worn
from engine.shape import ModelConfig
from engine.weights import Weights

FEW = 32
"""Rows of a step. For more, torch's products of many rows are faster, and what lies between them matters less."""


class FusedRunner:
    """Runs the steps of one set of weights on a processor."""

    def __init__(self, config: ModelConfig, weights: Weights, otherwise: Runner) -> None:
        """`otherwise` runs what is not for the loops: pieces of prompts, and pictures."""
        self._config, self._otherwise = config, otherwise
        self._embedding_vD = weights.embedding_vD
        self._layers = Layers(config, weights.layers, frequencies(config), weights.embedding_vD.dtype)
        self._adapters = Adapters(weights.embedding_vD.dtype)
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
        return rows <= FEW and all(min(run.ids) >= 0 for run in runs)

    def _logits(self, runs: Sequence[Run]) -> Tensor:
        laid = laid_out(runs)
        pieces = pieces_of(laid)
        positions: Ints = np.concatenate([np.arange(piece.start, piece.end) for piece in pieces])
        x_tD = array(self._embedding_vD[torch.tensor([token for run in laid for token in run.ids])])
        pages = pieces[0].slot.pages
        planned = plans(pieces, pages.layout)
        adapted = self._adapters.in_layers(worn(laid), len(planned))
        x_tD = self._layers.through(x_tD, positions, self._memories(pages), planned, adapted)
        x_sD = x_tD[rows_wanted(runs, laid, pieces)]
        add_and_norm(x_sD, np.zeros_like(x_sD), self._norm_D, self._config.norm_eps, x_sD)
        return torch.from_numpy(self._head(x_sD))

    def _memories(self, pages: Pages) -> list[Memory]:
        """Of every layer, as arrays over the same memory; kept, because a model has one memory while it is served."""
        if self._known is None or self._known[0] is not pages:
            self._known = pages, memories(pages)
        return self._known[1]
