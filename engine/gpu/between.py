"""What lies between the products of a step of next tokens, each as one kernel on a GPU.

Such a step has few rows, so each of these takes as long as its launch, and a layer written in torch has forty of them:
at one row that is more time than reading the weights. In plain torch, as processors have them here, they say what the
kernels compute; sums are fp32, and what torch would keep between in the type of the rows the kernels round likewise.

Shapes: b rows, D hidden, h heads, k key-value heads, d head dimension, r = d/2 rotations, e experts, n places: one for
each row and each of its experts, f expert width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.model.moe import routed
from engine.model.norm import rms_norm, unit_rms
from engine.model.rope import rotate
from engine.pages import Pages

FEW: Final = 64
"""Rows that are sorted by comparing each with each."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Rows in the order of their experts, multiplied by how much those count."""

    rows_nD: Tensor
    ends_e: Tensor
    """Behind which row each expert's rows end, int32."""
    place_n: Tensor
    """Where each row's, for each of its experts, went."""


@dataclass(frozen=True, slots=True)
class Added:
    """What a feed-forward adds to the rows: `part_bD`, and of `found_nD` those at each row's places; either or both."""

    part_bD: Tensor | None
    found_nD: Tensor | None = None
    place_n: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one layer does to queries and keys before they meet."""

    heads: int
    angles_br: Tensor | None
    """Complex; None: no rotation."""
    heat_b: Tensor | None
    """How much sharper queries look; None: as they are."""
    weights_2d: tuple[Tensor, Tensor] | None
    """Of a norm of queries and of keys before the rotation."""
    is_unit: bool
    """Whether they get unit length after it."""
    eps: float


def add_norm(x_bD: Tensor, added: Added, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The sum, and its norm."""
    if x_bD.device.type == "cuda":
        from engine.gpu import triton_between  # only GPUs have it

        return triton_between.add_norm(x_bD, added, weight_D, eps)
    total_bD = x_bD if added.part_bD is None else x_bD + added.part_bD
    if added.found_nD is not None and added.place_n is not None:
        total_bD = total_bD + added.found_nD[added.place_n].view(len(x_bD), -1, x_bD.shape[1]).sum(1)
    return total_bD, rms_norm(total_bD, weight_D, eps)


def turned(joined_bhd: Tensor, turn: Turn, pages: Pages, row: int, writes_b: Tensor) -> Tensor:
    """Queries [b, h, d]; keys and values go to their places in `row` of the pages."""
    if joined_bhd.device.type == "cuda" and pages.scales(row) is None:
        from engine.gpu import triton_between  # only GPUs have it

        return triton_between.turned(joined_bhd, turn, pages.keys_lkpd[row], pages.values_lkpd[row], writes_b)
    kv_heads = (joined_bhd.shape[1] - turn.heads) // 2
    q_bhd, k_bkd = joined_bhd[:, : turn.heads], joined_bhd[:, turn.heads : -kv_heads]
    if turn.weights_2d is not None:
        q_bhd, k_bkd = (rms_norm(one, w, turn.eps) for one, w in zip((q_bhd, k_bkd), turn.weights_2d, strict=True))
    if turn.angles_br is not None:
        q_bhd, k_bkd = rotate(q_bhd, turn.angles_br), rotate(k_bkd, turn.angles_br)
    if turn.is_unit:
        q_bhd, k_bkd = unit_rms(q_bhd, turn.eps), unit_rms(k_bkd, turn.eps)
    if turn.heat_b is not None:
        q_bhd = (q_bhd * turn.heat_b[:, None, None]).to(q_bhd.dtype)
    pages.write(row, writes_b, k_bkd, joined_bhd[:, -kv_heads:])
    return q_bhd


def spread(x_bD: Tensor, logits_be: Tensor, experts_per_token: int) -> Spread:
    """Each row to its experts."""
    if x_bD.device.type == "cuda" and experts_per_token == 1 and len(x_bD) <= FEW:
        from engine.gpu import triton_between  # only GPUs have it

        return triton_between.spread(x_bD, logits_be)
    scale_bk, chosen_bk = routed(logits_be, experts_per_token, x_bD.dtype)
    expert_n, order_n = chosen_bk.flatten().sort(stable=True)
    every_e = torch.arange(logits_be.shape[1], device=x_bD.device)
    ends_e = torch.searchsorted(expert_n, every_e, right=True, out_int32=True)
    place_n = torch.empty_like(order_n)
    place_n[order_n] = torch.arange(len(order_n), device=x_bD.device)
    return Spread(x_bD[order_n // experts_per_token] * scale_bk.flatten()[order_n, None], ends_e, place_n)


def spread_beside(x_bD: Tensor, logits_be: Tensor) -> Spread:
    """Each row to its only expert and, as it is, to one more behind the others. At most FEW rows."""
    if x_bD.device.type == "cuda":
        from engine.gpu import triton_between  # only GPUs have it

        return triton_between.spread(x_bD, logits_be, is_beside=True)
    found, rows = spread(x_bD, logits_be, 1), len(x_bD)
    place_b2 = torch.stack([found.place_n, torch.arange(rows, 2 * rows, device=x_bD.device)], dim=1)
    ends_e = torch.cat([found.ends_e, found.ends_e.new_full((1,), 2 * rows)])
    return Spread(torch.cat([found.rows_nD, x_bD]), ends_e, place_b2.flatten())


def gated(gate_up_n2f: Tensor) -> Tensor:
    """silu(gate) * up."""
    if gate_up_n2f.device.type == "cuda":
        from engine.gpu import triton_between  # only GPUs have it

        return triton_between.gated(gate_up_n2f)
    gate_nf, up_nf = gate_up_n2f.chunk(2, dim=-1)
    return F.silu(gate_nf) * up_nf
