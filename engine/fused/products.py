"""x W^T for a few rows, whatever form the weights have: in loops where those can read it, else through torch.

Rows are fp32 arrays of numpy; torch sees the same memory.

Shapes: t tokens, i inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from engine.fused.form import Head, Whole
from engine.fused.looped import Looped
from engine.fused.loops import Floats
from engine.matrix import Int8, Matrix, times

Product: TypeAlias = Callable[[Floats], Floats]


class ThroughTorch:
    """The product that torch has for this form, which computes in `dtype`."""

    def __init__(self, matrix: Matrix, dtype: torch.dtype) -> None:
        self._matrix, self._dtype = matrix, dtype

    def __call__(self, x_ti: Floats) -> Floats:
        found: Floats = times(torch.from_numpy(x_ti).to(self._dtype), self._matrix).float().numpy()
        return found


def product(matrix: Matrix, dtype: torch.dtype) -> Product:
    """`dtype` is what the layers compute in elsewhere."""
    if isinstance(matrix, Int8):
        return Looped(matrix.weight_oi.numpy(), matrix.scale_o.float().numpy())
    return matrix.few if isinstance(matrix, Whole | Head) else ThroughTorch(matrix, dtype)
