"""A product of a few rows with weights that are read as they are stored, once for all rows.

Shapes: t tokens, i inputs, o outputs.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from engine.fused.hands import LARGE, divided
from engine.fused.loops import Floats, Stored, times


class Looped:
    """x W^T in fp32. No scales: the weights are what they are."""

    def __init__(self, weight_oi: Stored, scale_o: Floats | None = None) -> None:
        self._outputs = len(weight_oi)
        self.stored = weight_oi, np.ones(self._outputs, np.float32) if scale_o is None else scale_o
        """Weights and scales."""
        self.is_small = weight_oi.nbytes < LARGE

    def __call__(self, x_ti: Floats) -> Floats:
        out_to = np.empty((len(x_ti), self._outputs), np.float32)
        if self.is_small:
            times(x_ti, *self.stored, out_to, 0, self._outputs)
        else:
            divided(self._outputs, partial(times, x_ti, *self.stored, out_to))
        return out_to
