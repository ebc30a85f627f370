"""Forms of weights that loops can read, on processors.

fp32 stays in its plain order, which loops read faster than torch reads its own; torch orders it anew for each piece of
a prompt, which for few rows takes longer than loops do: of a prompt those are the experts' rows and the last logits.
bf16 stays as torch orders it: prompts gain more from that than single tokens lose. The head stays in the 16
bits that it is stored in, with fp32 rows and fp32 sums: the logits are those of a widened head, for half of its bytes.

Shapes: t tokens, s rows, D hidden, v vocabulary, i inputs, o outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.form import Form
from engine.fused.arena import Arena
from engine.fused.looped import Looped
from engine.matrix import LAYS, Int8, Matrix
from engine.reduced import packs

FEW = 32
"""Rows of logits, and of what lies near the processor. For more it is faster to widen the head, or to order weights."""
FEW_AFAR = 8
"""Rows for which weights that come from memory are not ordered anew."""
PART = 4096
"""Rows of the vocabulary that are widened at once: all of them would be as much memory again and more."""


class Whole:
    """All bits, as they are."""

    def __init__(self, weight_oi: Tensor) -> None:
        self._weight_oi, self._is_packed = weight_oi, packs(weight_oi)
        self.few = Looped(weight_oi.numpy())

    def times(self, x_ti: Tensor) -> Tensor:
        if len(x_ti) <= (FEW if self.few.is_small else FEW_AFAR):
            return torch.from_numpy(self.few(x_ti.contiguous().numpy()))
        if not self._is_packed:
            return F.linear(x_ti, self._weight_oi)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x_ti, self._weight_oi, None, "none", [], "none")
        return found


class Head:
    """bf16, and logits in fp32."""

    def __init__(self, weight_vD: Tensor) -> None:
        self._weight_vD = weight_vD
        self.few = Looped(weight_vD.view(torch.uint16).numpy())

    def times(self, x_sD: Tensor) -> Tensor:
        if len(x_sD) <= FEW:
            return torch.from_numpy(self.few(x_sD.contiguous().numpy()))
        return torch.cat([F.linear(x_sD, part.float()) for part in torch.split(self._weight_vD, PART)], dim=1)


def loop_form(precision: str) -> Form:
    """For a precision that processors have."""
    arena = Arena()

    def whole(weight_oi: Tensor) -> Matrix:
        return Whole(arena.settled(weight_oi))

    def reduced(weight_oi: Tensor) -> Matrix:
        found = LAYS[precision](weight_oi)
        if isinstance(found, Int8):
            found.weight_oi = arena.settled(found.weight_oi)
        return found

    return Form(whole, Whole) if precision == "fp32" else Form(reduced, Head)
