"""Attention of a piece of a prompt on a GPU: torch's own kernels, causal from the lower right corner.

The last place of the piece sees all places, each before it one less. No mask is made in 16 bits, whatever the length;
in fp32, which is for tests, torch makes one.

Shapes: q tokens that look, p places, h heads, k key-value heads, d head dimension.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right


def causal(q_qhd: Tensor, keys_kpd: Tensor, values_kpd: Tensor) -> Tensor:
    """What each of the last q places gets."""
    bias = causal_lower_right(q_qhd.shape[0], keys_kpd.shape[1])
    q_hqd = q_qhd.transpose(0, 1)[None]
    found_hqd = F.scaled_dot_product_attention(q_hqd, keys_kpd[None], values_kpd[None], bias, enable_gqa=True)
    return found_hqd[0].transpose(0, 1)
