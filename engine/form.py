"""What form the weights of a model take when they are read, and where they go: decided by precision and device.

On processors each expert is a projection like any other. On a GPU all experts of a layer are one multiplication of
sorted rows, and the head keeps its 16 bits: a step reads all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from engine.device import CPU
from engine.fused.choose import form_on_processors
from engine.matrix import DTYPES, Lay, plain

if TYPE_CHECKING:
    from engine.gpu.experts import Experts

Join: TypeAlias = "Callable[[Sequence[Tensor]], Experts]"
GPU_DTYPES = {**DTYPES, "fp8": torch.bfloat16}
"""What the layers of a precision compute in, on a GPU."""


@dataclass(frozen=True, slots=True)
class Form:
    """What becomes of weights."""

    lay: Lay = plain
    """A projection of a layer."""
    head: Lay | None = None
    """None: widened to fp32."""
    join: Join | None = None
    """A layer's experts; None: each is a projection."""
    device: torch.device = CPU


def form_for(precision: str, device: torch.device, is_gpu: bool, in_loops: bool = False) -> Form:
    """`precision` is one that this device has; `in_loops`: compiled loops read the weights on processors."""
    if not is_gpu:
        return form_on_processors(precision, in_loops)
    # Triton, and what is built on it, is there only where there is a GPU.
    from engine.gpu.form import gpu_form

    return gpu_form(precision, device)
