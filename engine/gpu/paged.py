"""Attention of one new token of each sequence over its keys and values, which lie in blocks all over the memory.

The layout is that of engine/pages.py. Blocks are found on the card, so a step's addresses are data: the same recorded
graph serves every step of so many sequences. What is read is the keys and values that each sequence sees, once for all
heads that share them. Scores and their softmax are fp32 whatever the keys are.

Shapes: b sequences, h heads, k key-value heads, g heads that share keys, d head dimension, p positions of the whole
memory, l blocks of the longest sequence, s positions of it.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

Scales: TypeAlias = tuple[Tensor, Tensor]
"""Of keys and of values in eight bits, each [k, p]."""


def decode_attention(
    q_bhd: Tensor,
    keys_kpd: Tensor,
    values_kpd: Tensor,
    places_bl: Tensor,
    lengths_b: Tensor,
    block: int,
    scales: Scales | None = None,
    firsts_b: Tensor | None = None,
) -> Tensor:
    """What each token gets, [b, h, d].

    `places_bl` are the positions in memory at which the blocks of a sequence begin, `lengths_b` how many of its
    positions there are, the new one with them; behind that the table may hold anything that lies in the memory.
    `firsts_b` is the first position that is seen, where that is not the first one of the table. A length of zero gives
    zeros: rows that only fill a batch up.
    """
    if q_bhd.device.type == "cuda":
        from engine.gpu import triton_paged  # only GPUs have it

        return triton_paged.decode_attention(q_bhd, keys_kpd, values_kpd, places_bl, lengths_b, block, scales, firsts_b)
    return reference(q_bhd, keys_kpd, values_kpd, places_bl, lengths_b, block, scales, firsts_b)


def reference(
    q_bhd: Tensor,
    keys_kpd: Tensor,
    values_kpd: Tensor,
    places_bl: Tensor,
    lengths_b: Tensor,
    block: int,
    scales: Scales | None = None,
    firsts_b: Tensor | None = None,
) -> Tensor:
    """The same in plain torch, with every sequence as long as the longest."""
    count, heads, d = q_bhd.shape
    places_bs = (places_bl[:, :, None] + torch.arange(block, device=places_bl.device)).flatten(1).long()
    at_s = torch.arange(places_bs.shape[1], device=places_bl.device)
    seen_bs = at_s < lengths_b[:, None]
    if firsts_b is not None:
        seen_bs &= at_s >= firsts_b[:, None]
    keys_kbsd, values_kbsd = (
        _wide(pool_kpd, None if scales is None else scales[which], places_bs, seen_bs)
        for which, pool_kpd in enumerate((keys_kpd, values_kpd))
    )
    q_bkgd = q_bhd.view(count, keys_kpd.shape[0], -1, d).float() * d**-0.5
    scores_bkgs = torch.einsum("bkgd,kbsd->bkgs", q_bkgd, keys_kbsd)
    return (
        torch.einsum("bkgs,kbsd->bkgd", _shares(scores_bkgs, seen_bs), values_kbsd)
        .reshape(count, heads, d)
        .to(q_bhd.dtype)
    )


def _shares(scores_bkgs: Tensor, seen_bs: Tensor) -> Tensor:
    """Zeros for who sees nothing."""
    seen_bkgs = seen_bs[:, None, None]
    lowest = torch.finfo(torch.float32).min
    return scores_bkgs.masked_fill(~seen_bkgs, lowest).softmax(-1) * seen_bkgs


def _wide(pool_kpd: Tensor, scale_kp: Tensor | None, places_bs: Tensor, seen_bs: Tensor) -> Tensor:
    """Zeros where nothing is seen: memory that nobody wrote yet may hold what is no number."""
    found_kbsd = pool_kpd[:, places_bs].float()
    if scale_kp is not None:
        found_kbsd = found_kbsd * scale_kp[:, places_bs, None].float()
    return found_kbsd.masked_fill(~seen_bs[..., None], 0.0)
