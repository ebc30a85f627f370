"""What form weights take on a GPU, by precision."""

from __future__ import annotations

from functools import partial

import torch

from engine.form import Form
from engine.gpu.experts import experts_of
from engine.gpu.head import Head
from engine.gpu.matrix import LAYS


def gpu_form(precision: str, device: torch.device) -> Form:
    """On a processor, too, where tests want to see what a GPU would be given."""
    return Form(LAYS[precision], Head, partial(experts_of, precision=precision, device=device), device)
