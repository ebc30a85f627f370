"""A product of a few rows with weights that are read as they are stored, once for all rows.

Shapes: t tokens, i inputs, o outputs.
"""

from __future__ import annotations

import numpy as np

from engine.fused.hands import divided
from engine.fused.loops import Floats, Stored, times


class Looped:
    """x W^T in fp32. No scales: the weights are what they are."""

    def __init__(self, weight_oi: Stored, scale_o: Floats | None = None) -> None:
        self._weight_oi = weight_oi
        self._scale_o = np.ones(len(weight_oi), np.float32) if scale_o is None else scale_o

    def __call__(self, x_ti: Floats) -> Floats:
        out_to = np.empty((len(x_ti), len(self._weight_oi)), np.float32)

        def some(begin: int, end: int) -> None:
            times(x_ti, self._weight_oi, self._scale_o, out_to, begin, end)

        divided(len(self._weight_oi), self._weight_oi.nbytes, some)
        return out_to
