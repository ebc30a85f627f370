"""Attention within each text of a packed batch, with a model's own position term where it has one.

Masked keys get the dtype's minimum and never minus infinity: a sum of zeros would make the row no number at all.
In fp32 and on a GPU torch's fused kernel does the work. In bf16 on a CPU three plain products are measured to be
two to three times as fast as that kernel, so there they are taken.

Letters: t rows, n texts of a group, L rows of each, h heads, d width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.classifiers.layout import Group, Layout


class PositionTerm(Protocol):
    """What a model adds to the scores for where two tokens stand."""

    def __call__(self, q_hnLd: Tensor, k_hnLd: Tensor) -> Tensor:
        """A new tensor hnLL, by query and key."""


@dataclass(frozen=True, slots=True)
class Attention:
    """One layer's attention. The queries come scaled: their scale is part of the projection's weights."""

    heads: int
    positions: PositionTerm | None = None

    def __call__(self, qkv_t: Tensor, layout: Layout) -> Tensor:
        parts = [self._within(qkv_t, group) for group in layout.groups]
        if layout.filling:
            parts.append(parts[0].new_zeros(layout.filling, parts[0].shape[1]))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _within(self, qkv_t: Tensor, group: Group) -> Tensor:
        rows = qkv_t[group.start : group.stop] if group.gather is None else qkv_t.index_select(0, group.gather)
        split = rows.view(group.count, group.length, 3, self.heads, -1)
        q_hnLd, k_hnLd, v_hnLd = split.permute(2, 3, 0, 1, 4).contiguous().unbind()
        term = None if self.positions is None else self.positions(q_hnLd, k_hnLd)
        absent = None if group.absent_nL is None else group.absent_nL[None, :, None, :]
        out_hnLd = _attend(q_hnLd, k_hnLd, v_hnLd, term, absent)
        context = out_hnLd.permute(1, 2, 0, 3).reshape(group.count * group.length, -1)
        return context if group.real is None else context.index_select(0, group.real)


def _attend(q: Tensor, k: Tensor, v: Tensor, term: Tensor | None, absent: Tensor | None) -> Tensor:
    lowest = torch.finfo(q.dtype).min
    if q.is_cuda or q.dtype == torch.float32:
        mask = term
        if absent is not None:
            base = q.new_zeros(()).expand(absent.shape) if term is None else term
            mask = base.masked_fill(absent, lowest)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    heads, texts, length, width = q.shape
    flat_q, flat_k, flat_v = (one.view(heads * texts, length, width) for one in (q, k, v))
    if term is None:
        scores = torch.bmm(flat_q, flat_k.transpose(1, 2))
    else:
        scores = torch.baddbmm(term.view(heads * texts, length, length), flat_q, flat_k.transpose(1, 2))
    scores = scores.view(heads, texts, length, length)
    if absent is not None:
        scores.masked_fill_(absent, lowest)
    return torch.bmm(scores.softmax(-1).view(heads * texts, length, length), flat_v).view(q.shape)
