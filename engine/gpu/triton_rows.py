"""Rows of activations to eight bits, read and written once: the left factor of a product in fp8."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 8


@triton.jit
def round_row(
    x_ptr: tl.tensor, steps_ptr: tl.tensor, scale_ptr: tl.tensor, INPUTS: tl.constexpr, WIDTH: tl.constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64)
    # In the order of the words: byte 4j + 2h + r of a block of 128 is input 64r + 2j + h.
    at = tl.arange(0, WIDTH)
    within = at % 128
    from_i = at - within + (within % 2) * 64 + (within // 4) * 2 + (within // 2) % 2
    x = tl.load(x_ptr + row * INPUTS + from_i, mask=at < INPUTS, other=0.0).to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(x), 0) / 448.0, 1e-12)
    # What is no number stays none; the conversion cuts what rounding carried over the largest.
    tl.store(steps_ptr + row * INPUTS + at, (x / scale).to(steps_ptr.dtype.element_ty), mask=at < INPUTS)
    tl.store(scale_ptr + row, scale)


def rounded_rows(x_ni: Tensor) -> tuple[Tensor, Tensor]:
    """See engine.gpu.product.rounded_rows. Inputs are whole blocks."""
    rows, inputs = x_ni.shape
    x_ni = x_ni.contiguous()
    steps_ni = torch.empty(rows, inputs, dtype=torch.float8_e4m3fn, device=x_ni.device)
    scale_n = torch.empty(rows, dtype=torch.float32, device=x_ni.device)
    if rows:
        round_row[(rows,)](x_ni, steps_ni, scale_n, inputs, triton.next_power_of_2(inputs), num_warps=WARPS)
    return steps_ni, scale_n
