"""The head as it is stored, with its sums in fp32.

A step of one token reads all of it: 16 bits instead of 32 are half of that time. The rows that come in were computed
in the same bits, and a product of two such numbers is exact in fp32, so the logits are those of a widened head.

Shapes: s rows, D hidden, v vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Head:
    """Logits in fp32."""

    def __init__(self, weight_vD: Tensor) -> None:
        self._weight_vD = weight_vD

    def times(self, x_sD: Tensor) -> Tensor:
        if not len(x_sD):
            return x_sD.new_empty(0, len(self._weight_vD))
        narrow_sD = x_sD.to(self._weight_vD.dtype)
        if narrow_sD.is_cuda and narrow_sD.dtype != torch.float32:
            return torch.mm(narrow_sD, self._weight_vD.t(), torch.float32)
        # torch's processors have no product with wider sums.
        return F.linear(narrow_sD.float(), self._weight_vD.float())
