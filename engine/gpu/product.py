"""x W^T for weights as engine/gpu/packed.py has them, by whatever is fastest on the device that they lie on.

| weights | on a GPU | elsewhere |
|---|---|---|
| fp32, bf16 | torch's own products; by group only where it has a kernel for that, else ours | torch's own |
| fp8, few rows | our kernel: rows stay in bf16, the weights' bytes are the time | widened first |
| fp8, many rows | torch's products of eight bits on Hopper: rows are rounded, each with its own scale | likewise |
| int8, int4 | our kernel; for many rows of one projection, widened first and then torch's own | likewise |

Triton comes with torch's builds for GPUs and is imported there alone.

Shapes: n rows, i inputs, o outputs, e experts.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.gpu.packed import BLOCK, RUNS, Packed
from engine.steps import TINY

FEW: Final = 64
"""Up to so many rows for each projection, reading the weights takes longer than multiplying."""
MANY: Final = 512
"""From so many rows of one projection on, widening its weights is little beside the product."""
HOPPER: Final = (9, 0)
_LANE: Final = 16
"""Bytes of which torch's products by group want rows to be a multiple."""


def product(x_ni: Tensor, packed: Packed, ends_e: Tensor | None = None) -> Tensor:
    """[n, o] in the type of the rows, which are sorted by projection: `ends_e` (int32) is where each one's rows end.

    Without it all rows belong to the only projection. Never waits for the device.
    """
    on_gpu = x_ni.device.type == "cuda"
    if packed.is_whole and (ends_e is None or not on_gpu or _groups(x_ni, packed)):
        return _by_torch(x_ni, packed.words, ends_e)
    if not on_gpu:
        return _by_torch(x_ni, packed.wide(x_ni.dtype), ends_e)
    if packed.precision == "fp8" and _rounds(x_ni, packed):
        return _rounded(x_ni, packed, ends_e)
    from engine.gpu import triton_product, triton_words  # only GPUs have it

    if ends_e is None and x_ni.shape[0] >= MANY and not packed.is_whole:
        return F.linear(x_ni, triton_words.widened(packed, x_ni.dtype))
    return triton_product.product(x_ni, packed, ends_e)


def _by_torch(x_ni: Tensor, weight_eoi: Tensor, ends_e: Tensor | None) -> Tensor:
    if ends_e is None:
        return F.linear(x_ni, weight_eoi[0])
    if _is_aligned(weight_eoi):
        return F.grouped_mm(x_ni, weight_eoi.transpose(1, 2), offs=ends_e)
    begins = [0, *ends_e.tolist()]
    parts = [x_ni[begin:end] for begin, end in pairwise(begins)]
    return torch.cat([F.linear(part, weight_oi) for part, weight_oi in zip(parts, weight_eoi, strict=True)])


def _is_aligned(weight_eoi: Tensor) -> bool:
    return not any(size * weight_eoi.dtype.itemsize % _LANE for size in weight_eoi.shape[1:])


def _groups(x_ni: Tensor, packed: Packed) -> bool:
    """Whether torch has a kernel; it falls back to a loop that asks the device for the counts."""
    is_bf16 = x_ni.dtype == packed.words.dtype == torch.bfloat16
    return is_bf16 and _is_aligned(packed.words) and _capability(x_ni.device) in (HOPPER, (10, 0))


def _rounds(x_ni: Tensor, packed: Packed) -> bool:
    fits = x_ni.dtype == torch.bfloat16 and packed.inputs == packed.padded and packed.outputs % _LANE == 0
    has_many = x_ni.shape[0] > FEW * packed.words.shape[0]
    return fits and has_many and _capability(x_ni.device) in (HOPPER, (10, 0))


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _rounded(x_ni: Tensor, packed: Packed, ends_e: Tensor | None) -> Tensor:
    """Both factors in eight bits, each row and each output with a scale of its own."""
    weight_eoi, scale_eo = packed.words.flatten(2).view(torch.float8_e4m3fn), packed.scale_epoh[:, 0, :, 0]
    from engine.gpu import triton_rows  # only GPUs have it

    steps_ni, scale_n = triton_rows.rounded_rows(x_ni)
    found: Tensor
    if ends_e is None:
        found = torch._scaled_mm(
            steps_ni,
            weight_eoi[0].t(),
            scale_a=scale_n[:, None],
            scale_b=scale_eo[:1],
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return found
    row = F.ScalingType.RowWise
    found = F.scaled_grouped_mm(  # type: ignore[attr-defined]  # which torch's own types leave out
        steps_ni,
        weight_eoi.transpose(1, 2),
        scale_n,
        row,
        scale_eo.contiguous(),
        row,
        offs=ends_e,
        output_dtype=torch.bfloat16,
        use_fast_accum=True,
    )
    return found


def rounded_rows(x_ni: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in fp8 with a scale each, in plain torch. Inputs come in the order in which the weights' words have them."""
    scale_n = (x_ni.float().abs().amax(dim=1) / 448).clamp_min(TINY)
    steps_ni = (x_ni.float() / scale_n[:, None]).to(torch.float8_e4m3fn)
    runs = steps_ni.view(x_ni.shape[0], x_ni.shape[1] // BLOCK, RUNS["fp8"], BLOCK // RUNS["fp8"] // 2, 2)
    return runs.permute(0, 1, 3, 4, 2).reshape(x_ni.shape), scale_n
