"""The weights of one projection on a card, by precision, as engine/matrix.py has them for processors.

Shapes: t tokens, i inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from torch import Tensor

from engine.gpu.packed import PRECISIONS, Packed, pack
from engine.gpu.product import product


class Matrix(Protocol):
    """One projection."""

    def times(self, x_ti: Tensor) -> Tensor:
        """x W^T."""


Lay: TypeAlias = Callable[[Tensor], Matrix]
"""Takes [o, i] and leaves them on their device."""


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """The only one of its tensor."""

    packed: Packed

    def times(self, x_ti: Tensor) -> Tensor:
        return product(x_ti, self.packed)


def _lay(precision: str, weight_oi: Tensor) -> Matrix:
    return PackedMatrix(pack([weight_oi], precision, weight_oi.device))


LAYS: dict[str, Lay] = {precision: partial(_lay, precision) for precision in PRECISIONS}
"""By precision."""
