"""The weights of one projection on a card, by precision, as engine/matrix.py has them for processors.

`fp32` and `bf16` are left to torch; the others stay packed in memory and multiply as experts do, as the only one.

Shapes: t tokens, i inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.gpu.packed import REDUCED, Packed, pack


class Matrix(Protocol):
    """One projection."""

    def times(self, x_ti: Tensor) -> Tensor:
        """x W^T."""


Lay: TypeAlias = Callable[[Tensor], Matrix]
"""Takes [o, i] and leaves them where they lie."""


class Whole:
    """All bits, as torch multiplies them."""

    def __init__(self, weight_oi: Tensor) -> None:
        self._weight_oi = weight_oi.contiguous()

    def times(self, x_ti: Tensor) -> Tensor:
        return F.linear(x_ti, self._weight_oi)


class Reduced:
    """Fewer bits, which stay packed in memory."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def times(self, x_ti: Tensor) -> Tensor:
        return F.linear(x_ti, self._packed.wide(x_ti.dtype)[0])


def _whole(dtype: torch.dtype, weight_oi: Tensor) -> Matrix:
    return Whole(weight_oi.to(dtype))


def _reduced(precision: str, weight_oi: Tensor) -> Matrix:
    return Reduced(pack([weight_oi], precision, weight_oi.device))


LAYS: dict[str, Lay] = {
    "fp32": partial(_whole, torch.float32),
    "bf16": partial(_whole, torch.bfloat16),
    **{precision: partial(_reduced, precision) for precision in REDUCED},
}
"""By precision."""
