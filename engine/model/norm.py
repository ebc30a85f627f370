"""Root-mean-square norms. Computed in fp32 and cast back before the weight is applied, as the checkpoints expect.

Shapes: t tokens, D hidden, h heads, d head dimension.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def unit_rms(x: Tensor, eps: float) -> Tensor:
    """Scaled to a mean square of one over the last axis; no weight. Also what Llama 4 does to queries and keys."""
    return F.rms_norm(x, x.shape[-1:], None, eps)


def rms_norm(x_tD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    return unit_rms(x_tD, eps) * weight_D
