"""Causal attention of the last tokens of a text over all its places: each sees itself and what came before.

One token, and rows that see very far, go through torch's own kernel. What lies between, a piece of an ordinary prompt,
is faster as two plain products for a few rows at a time: the kernel computes the half that nobody sees, too, as long
as there are few places. Scores and their softmax are fp32 whatever the keys are. No mask is wider than a few rows.

Shapes: q tokens that look, p places, h heads, k key-value heads, g heads that share keys, d head dimension,
r rows of one part.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 64
"""Tokens of a part."""
FAR = 4096
"""Places from which on the kernel is faster, and the scores of a part would be too much memory."""


def causal(q_qhd: Tensor, keys_kpd: Tensor, values_kpd: Tensor) -> Tensor:
    """What each of the last q places gets. Heads that share keys are one batch; keys are never repeated in memory."""
    count, heads, d = q_qhd.shape
    kv_heads, places, _ = keys_kpd.shape
    q_qkgd = q_qhd.view(count, kv_heads, heads // kv_heads, d)
    if count == 1:
        return _kernel(q_qkgd, keys_kpd, values_kpd, None).view(1, heads, d)
    attend, keys_kpd = (_kernel, keys_kpd) if places > FAR else (_products, keys_kpd.float())
    out_qkgd = torch.empty_like(q_qkgd)
    for begin in range(0, count, ROWS):
        rows = slice(begin, min(count, begin + ROWS))
        seen, later_rr = places - count + rows.stop, _later(rows.stop - begin, q_qhd.device)
        out_qkgd[rows] = attend(q_qkgd[rows], keys_kpd[:, :seen], values_kpd[:, :seen], later_rr)
    return out_qkgd.view(count, heads, d)


def _later(rows: int, device: torch.device) -> Tensor:
    """Which of the last `rows` places lie behind each of them."""
    return torch.ones(rows, rows, dtype=torch.bool, device=device).triu_(1)


def _kernel(q_rkgd: Tensor, keys_kpd: Tensor, values_kpd: Tensor, later_rr: Tensor | None) -> Tensor:
    if later_rr is None:
        return F.scaled_dot_product_attention(q_rkgd, keys_kpd[None], values_kpd[None])
    rows, seen = later_rr.shape[0], keys_kpd.shape[1]
    mask_rp = torch.zeros(rows, seen, dtype=q_rkgd.dtype, device=q_rkgd.device)
    mask_rp[:, seen - rows :].masked_fill_(later_rr, float("-inf"))
    shape = (keys_kpd.shape[0], q_rkgd.shape[2], seen, keys_kpd.shape[2])
    keys_kgpd, values_kgpd = keys_kpd[:, None].expand(shape), values_kpd[:, None].expand(shape)
    found_kgrd = F.scaled_dot_product_attention(q_rkgd.permute(1, 2, 0, 3), keys_kgpd, values_kgpd, attn_mask=mask_rp)
    return found_kgrd.permute(2, 0, 1, 3)


def _products(q_rkgd: Tensor, keys_kpd: Tensor, values_kpd: Tensor, later_rr: Tensor) -> Tensor:
    """The keys are fp32 already."""
    rows, kv_heads, group, d = q_rkgd.shape
    seen = keys_kpd.shape[1]
    q_knd = (q_rkgd.permute(1, 2, 0, 3).float() * d**-0.5).reshape(kv_heads, group * rows, d)
    scores_kgrp = torch.bmm(q_knd, keys_kpd.transpose(1, 2)).view(kv_heads, group, rows, seen)
    scores_kgrp[..., seen - rows :].masked_fill_(later_rr, float("-inf"))
    shares_knp = scores_kgrp.softmax(-1).to(values_kpd.dtype).view(kv_heads, group * rows, seen)
    return torch.bmm(shares_knp, values_kpd).view(kv_heads, group, rows, d).permute(2, 0, 1, 3)
