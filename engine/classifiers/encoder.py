"""A post-norm encoder over packed rows: BERT's order of layers, which RoBERTa and DeBERTa share.

It is read from a loaded transformers model, whose embeddings and head it goes on using, and promises that model's
logits; engine/classifiers/choose.py compares them before anything is judged. Only the last layer differs from the
original's order: its output is needed for each text's first token alone, so nothing is computed for the others.

Letters: t rows of the batch, b texts, D hidden width, F width of the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.classifiers.attention import Attention
from engine.classifiers.layout import Layout, lay_out


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. `up` includes its activation."""

    qkv: Callable[[Tensor], Tensor]
    attention: Attention
    out: Callable[[Tensor], Tensor]
    attention_norm: nn.Module
    up: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]
    output_norm: nn.Module

    def attended(self, x_tD: Tensor, layout: Layout) -> Tensor:
        return self.attention(self.qkv(x_tD), layout)

    def finished(self, x_tD: Tensor, context_tD: Tensor) -> Tensor:
        x_tD = self.attention_norm(x_tD + self.out(context_tD))
        result: Tensor = self.output_norm(x_tD + self.down(self.up(x_tD)))
        return result


@dataclass(frozen=True, slots=True)
class PackedEncoder:
    """Logits for texts of any lengths in one pass."""

    embed: Callable[[Layout], Tensor]
    layers: Sequence[Layer]
    head: Callable[[Tensor], Tensor]
    """From the first tokens' rows, as texts of one token, to logits."""
    fill_id: int
    device: torch.device
    after_first: Callable[[Tensor, Tensor, Layout], Tensor] | None = None
    """What some models do once, after their first layer, with its input and output."""
    packs = True

    def logits(self, batch: Sequence[Sequence[int]]) -> Tensor:
        layout = lay_out(batch, self.fill_id, self.device)
        x_tD = embedded_tD = self.embed(layout)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            context_tD = layer.attended(x_tD, layout)
            only_first = index == last and not (index == 0 and self.after_first)
            if only_first:
                return self.head(layer.finished(x_tD[layout.first_b], context_tD[layout.first_b])[:, None])
            x_tD = layer.finished(x_tD, context_tD)
            if index == 0 and self.after_first:
                x_tD = self.after_first(embedded_tD, x_tD, layout)
        return self.head(x_tD[layout.first_b][:, None])
