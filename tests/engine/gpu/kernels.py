"""Runs the kernels where there is no GPU: in Triton's interpreter, which takes tensors of the CPU.

CI has no Triton. Where it can be had, beside torch in an environment of its own, this runs them:

    python -m pytest tests/engine/gpu

The interpreter knows no bf16, so there they run in fp32, which differs in the last conversion only. On a GPU the same
cases run in bf16, with `-m gpu` alone.
"""

from __future__ import annotations

import os
from types import ModuleType

import pytest
import torch

HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
DTYPE = torch.bfloat16 if HAS_GPU else torch.float32
on_gpu = pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
interpreted = pytest.mark.skipif(HAS_GPU, reason="the interpreter is for machines without a GPU")


def kernels(name: str) -> ModuleType:
    """The module, or its tests are left out."""
    if not HAS_GPU:
        os.environ["TRITON_INTERPRET"] = "1"
    found: ModuleType = pytest.importorskip(f"engine.gpu.{name}")
    return found


def close(found: torch.Tensor, exact: torch.Tensor) -> bool:
    """The most that one number is off, as a share of the largest: what bf16 rounds, and nothing where all is fp32."""
    bound = 2e-5 if found.dtype == torch.float32 else 0.02
    largest = exact.abs().max() if exact.numel() else 0.0
    return bool(((found.float() - exact.float()).abs() <= bound * largest).all())
