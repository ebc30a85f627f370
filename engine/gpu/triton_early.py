"""Kernels that are launched while the one before them still ends, where that is asked for.

A step of one row is hundreds of kernels of a few microseconds, and between two of them the card empties and fills. On
Hopper a kernel may be made ready meanwhile: each waits here, before it reads or writes anything, until all that came
before is done and seen, so what it computes cannot change. Every program of every such kernel has to wait, also one
without work: who comes next relies on it.

NOT RUN ON A GPU YET, and so only where GATEHOUSE_GPU_EARLY is 1: `python -m bench.gpu.all` measures with and without.
"""
# mypy: allow-untyped-decorators
# Triton comes with torch for GPUs, and is not typed.

from __future__ import annotations

import os
from typing import Final

import triton
import triton.language as tl
from triton.language.extra import cuda

EARLY: Final = tl.constexpr(os.environ.get("GATEHOUSE_GPU_EARLY") == "1" and not triton.knobs.runtime.interpret)
OPTIONS: Final = {"launch_pdl": True} if EARLY.value else {}
"""Of a launch; only of kernels that call `await_others` first."""


@triton.jit
def await_others() -> None:
    if EARLY:
        cuda.gdc_wait()
        cuda.gdc_launch_dependents()
