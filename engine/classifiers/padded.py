"""Any sequence classifier by transformers' own forward, in padded batches.

For families nobody read into a PackedEncoder, and the reference that those are compared with. Padding is masked; a
model that has no padding token gets its texts one by one.

Letters: b texts, L tokens of the longest.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from engine.reduced import reduce_layers

Checkpoint: TypeAlias = Any
"""transformers' own objects carry no types."""


@dataclass(frozen=True, slots=True)
class PaddedModel:
    """A transformers model and how it pads."""

    model: Checkpoint
    pad_id: int | None
    device: torch.device
    packs = False

    def logits(self, batch: Sequence[Sequence[int]]) -> Tensor:
        if self.pad_id is None and len(batch) > 1:
            return torch.cat([self.logits([ids]) for ids in batch])
        lengths = torch.tensor([len(ids) for ids in batch], device=self.device)
        longest = int(lengths.max())
        pad = self.pad_id or 0
        ids_bL = torch.tensor([[*ids, *[pad] * (longest - len(ids))] for ids in batch], device=self.device)
        mask_bL = torch.arange(longest, device=self.device)[None, :] < lengths[:, None]
        logits: Tensor = self.model(input_ids=ids_bL, attention_mask=mask_bL.long()).logits
        return logits


def padded(model: Checkpoint, kind: str | None = None) -> PaddedModel:
    """`kind` exchanges the linear layers in a copy that shares everything else with `model`; None changes nothing."""
    if kind is not None:
        shared = {id(one): one for one in (*model.parameters(), *model.buffers())}
        model = copy.deepcopy(model, shared)
        reduce_layers(model, kind)
    return PaddedModel(model, model.config.pad_token_id, next(model.parameters()).device)
