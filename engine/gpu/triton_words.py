"""What the words of packed weights mean, for kernels, and the weights in full where that pays.

A word is two neighbouring inputs of each run, see engine/gpu/packed.py, and one operation unpacks both. What stands for
a whole number is put behind the exponent of 128, where a bf16 has seven bits left, and 128 is taken off again.

For many rows of one projection the weights are widened first, and torch multiplies: reading and writing them once is
little beside the product, whose rate no kernel of a few lines reaches.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.gpu.packed import BLOCK, Packed

ASSEMBLED: Final = tl.constexpr(triton.__version__.startswith(("3.6.", "3.8.")) and not triton.knobs.runtime.interpret)
"""Whether this Triton makes less of our instruction than of what it stands for; bench/gpu/compiled.py counts them."""
OUT: Final = 32
"""Outputs that a program widens."""


@triton.jit
def _numbers(bits: tl.tensor, OUT: tl.constexpr, RUN: tl.constexpr, WIDE: tl.constexpr) -> tl.tensor:
    """The halves of each word, which are bits of bf16, side by side."""
    if WIDE:
        low = (bits << 16).to(tl.float32, bitcast=True)
        high = (bits & 0xFFFF0000).to(tl.float32, bitcast=True)
    else:
        low = bits.to(tl.uint16).to(tl.bfloat16, bitcast=True)
        high = (bits >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return tl.reshape(tl.join(low, high), (OUT, RUN))


@triton.jit
def _nibbles(words: tl.tensor) -> tl.tensor:
    """The lowest four bits of each half behind the exponent of 128: one instruction, of which some make two."""
    if ASSEMBLED:
        told: tl.constexpr = "lop3.b32 $0, $1, 0x000F000F, 0x43004300, 0xEA;"
        return tl.inline_asm_elementwise(told, "=r,r", [words], dtype=tl.uint32, is_pure=True, pack=1)
    else:
        return (words & 0x000F000F) | 0x43004300


@triton.jit
def _int4(words: tl.tensor, run: tl.constexpr, OUT: tl.constexpr, RUN: tl.constexpr, WIDE: tl.constexpr) -> tl.tensor:
    return _numbers(_nibbles(words >> (4 * run)), OUT, RUN, WIDE) - 136.0


@triton.jit
def _int8(words: tl.tensor, run: tl.constexpr, OUT: tl.constexpr, RUN: tl.constexpr, WIDE: tl.constexpr) -> tl.tensor:
    if run == 1:
        words = ((words >> 8) & 0x007F007F) | ((words << 8) & 0x80008000)
    zero = (words & 0x80008000) | 0x43004300
    return _numbers((words & 0x007F007F) | zero, OUT, RUN, WIDE) - _numbers(zero, OUT, RUN, WIDE)


@triton.jit
def _fp8(words: tl.tensor, run: tl.constexpr, OUT: tl.constexpr, RUN: tl.constexpr, WIDE: tl.constexpr) -> tl.tensor:
    """Exponent and mantissa of an e4m3 moved to those of a bf16 are 2^-120 times the number, also where it is tiny."""
    halves = words >> (8 * run)
    bits = ((halves << 8) & 0x80008000) | ((halves & 0x007F007F) << 4)
    return _numbers(bits, OUT, RUN, WIDE) * 1.329227995784916e36


@triton.jit
def unpacked(
    words: tl.tensor, run: tl.constexpr, KIND: tl.constexpr, OUT: tl.constexpr, RUN: tl.constexpr, WIDE: tl.constexpr
) -> tl.tensor:
    if KIND == "int4":
        return _int4(words, run, OUT, RUN, WIDE)
    elif KIND == "int8":
        return _int8(words, run, OUT, RUN, WIDE)
    else:
        return _fp8(words, run, OUT, RUN, WIDE)


@triton.jit
def scale_of(scale_ptr: tl.tensor, group: tl.tensor, outputs: tl.tensor) -> tl.tensor:
    """Of one group of four-bit numbers, in fp32. Two groups share a word, as loads of less are not made ahead."""
    words = tl.load(scale_ptr + (group // 2) * outputs).to(tl.uint32, bitcast=True)
    return ((words >> tl.cast(16 * (group % 2), tl.uint32)) << 16).to(tl.float32, bitcast=True)


@triton.jit
def widen(
    words_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    out_ptr: tl.tensor,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    ROW: tl.constexpr,
    STEP: tl.constexpr,
    KIND: tl.constexpr,
    GROUP: tl.constexpr,
    WIDE: tl.constexpr,
    OUT: tl.constexpr,
) -> None:
    """One block of inputs of some outputs."""
    RUNS: tl.constexpr = 4 if KIND == "int4" else 2
    RUN: tl.constexpr = 128 // RUNS
    WORDS: tl.constexpr = RUN // 2
    block = tl.program_id(0)
    out_o = tl.program_id(1) * OUT + tl.arange(0, OUT)
    is_out = (out_o < OUTPUTS)[:, None]
    at_j = block * STEP + tl.arange(0, WORDS)
    words = tl.load(words_ptr + out_o[:, None] * ROW + at_j[None, :], mask=is_out, other=0)
    words = words.to(tl.uint32, bitcast=True)
    # Whoever is not there reads what the last one reads, and is not stored.
    weight_o = tl.minimum(out_o, OUTPUTS - 1)
    for run in tl.static_range(RUNS):
        if KIND == "int4":
            scale = scale_of(scale_ptr + weight_o, block * (128 // GROUP) + run * 32 // GROUP, OUTPUTS)
        else:
            scale = tl.load(scale_ptr + weight_o)
        numbers = unpacked(words, run, KIND, OUT, RUN, WIDE).to(tl.float32) * scale[:, None]
        at_i = block * 128 + run * RUN + tl.arange(0, RUN)
        to_ptrs = out_ptr + out_o[:, None].to(tl.int64) * INPUTS + at_i[None, :]
        tl.store(to_ptrs, numbers.to(out_ptr.dtype.element_ty), mask=is_out & (at_i < INPUTS)[None, :])


def widened(packed: Packed, dtype: torch.dtype) -> Tensor:
    """[o, i] of the only projection."""
    out_oi = torch.empty(packed.outputs, packed.inputs, dtype=dtype, device=packed.words.device)
    widen[packed.padded // BLOCK, -(-packed.outputs // OUT)](
        packed.words,
        packed.scale_epoh.view(torch.int32) if packed.precision == "int4" else packed.scale_epoh,
        out_oi,
        INPUTS=packed.inputs,
        OUTPUTS=packed.outputs,
        ROW=packed.words.stride(1),
        STEP=packed.words.stride(2),
        KIND=packed.precision,
        GROUP=packed.group,
        WIDE=dtype == torch.float32,
        OUT=OUT,
    )
    return out_oi
