"""One kernel for the products of reduced weights: packed words from memory, numbers in registers, products in bf16.

Each program computes some outputs of some rows of one expert. Which expert, it finds out from where the experts' rows
end, so the grid follows from the number of rows and experts, and programs without work leave at once. The weights stand
on the left of the product: there the tensor cores take them from registers, into which they are unpacked, and few
tokens on the right cost little, eight the least. Two warps for a tile of few rows: four would be given the instructions
for large products, which wait for each other more than they compute. Sums are fp32. Where a decoding step has too
little work for all processors, the inputs are divided as well, and whoever comes last adds up: always in the same
order, so the result does not depend on who.

Rows in fp32 multiply in fp32: slower, for comparison, and what the interpreter runs, which knows no bf16.

Shapes: n rows, i inputs, o outputs, e experts, w words of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.gpu.packed import BLOCK, Packed
from engine.gpu.triton_early import OPTIONS, await_others
from engine.gpu.triton_words import scale_of, unpacked


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program computes."""

    rows: int
    outputs: int
    warps: int
    stages: int
    """Blocks of inputs that are on their way."""
    programs: int
    """So many for each processor fit beside each other and ask for all that the memory gives."""

    @property
    def scales_weights(self) -> bool:
        """Scales are multiplied into the fewer: the weights, or the sums of a group."""
        return self.rows >= 64


TILES: Final = (
    Tile(8, 64, 2, 4, programs=8),
    Tile(16, 64, 2, 4, programs=6),
    Tile(32, 128, 4, 4, programs=3),
    Tile(64, 128, 4, 3, programs=2),
    Tile(128, 256, 8, 3, programs=1),
)
WHOLE_TILES: Final = (
    Tile(16, 64, 2, 4, programs=3),
    Tile(64, 128, 4, 3, programs=1),
    Tile(128, 128, 8, 3, programs=1),
)
"""For weights of sixteen bits, which take more room on their way."""
EXACT: Final = Tile(16, 32, 4, 2, programs=4)
"""For rows in fp32."""
MOST_SPLITS: Final = 8
LEAST_BLOCKS: Final = 4
"""Blocks of inputs that are worth a program."""
COUNTS: Final = 8192
"""Places that several programs may add up for in one call."""


@triton.jit
def _place(
    ends_ptr: tl.tensor, tile: tl.tensor, EXPERTS: tl.constexpr, EXPERTS_2: tl.constexpr, ROWS: tl.constexpr
) -> tl.tensor:
    """Expert of a tile of rows, its first row, and where the expert's rows end. Behind the last tile: no expert."""
    at_e = tl.arange(0, EXPERTS_2)
    ends_e = tl.load(ends_ptr + at_e, mask=at_e < EXPERTS, other=0)
    begins_e = tl.load(ends_ptr + at_e - 1, mask=(at_e < EXPERTS) & (at_e > 0), other=0)
    tiles_e = (ends_e - begins_e + ROWS - 1) // ROWS
    expert = tl.sum((tl.cumsum(tiles_e, 0) <= tile).to(tl.int32), 0)
    before = tl.sum(tl.where(at_e < expert, tiles_e, 0), 0)
    begin = tl.sum(tl.where(at_e == expert, begins_e, 0), 0)
    end = tl.sum(tl.where(at_e == expert, ends_e, 0), 0)
    return expert, begin + (tile - before) * ROWS, end


@triton.jit
def _whole(weights_ptrs: tl.tensor, at_i: tl.tensor, inputs: tl.tensor, IS_FILLED: tl.constexpr) -> tl.tensor:
    """Weights that are not packed."""
    if IS_FILLED:
        return tl.load(weights_ptrs + at_i[None, :])
    else:
        return tl.load(weights_ptrs + at_i[None, :], mask=(at_i < inputs)[None, :], other=0.0)


@triton.jit
def _add_up(
    acc: tl.tensor,
    split: tl.tensor,
    at: tl.tensor,
    is_one: tl.tensor,
    out_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    count_ptr: tl.tensor,
    size: tl.tensor,
    SPLITS: tl.constexpr,
) -> None:
    """The part is stored, and the sum of all parts by whoever finds all the others stored."""
    tl.store(partial_ptr + split * size + at, acc, mask=is_one)
    tl.debug_barrier()
    if tl.atomic_add(count_ptr, 1, sem="acq_rel", scope="gpu") == SPLITS - 1:
        total = tl.zeros_like(acc)
        for part in tl.static_range(SPLITS):
            total += tl.load(partial_ptr + part * size + at, mask=is_one, other=0.0, cache_modifier=".cg")
        tl.store(out_ptr + at, total.to(out_ptr.dtype.element_ty), mask=is_one)
        tl.store(count_ptr, 0)


# Compiled once for all projections, not anew for one row or for multiples of sixteen.
@triton.jit(do_not_specialize=["rows"])
def grouped_product(
    x_ptr: tl.tensor,
    words_ptr: tl.tensor,
    scale_ptr: tl.tensor,
    ends_ptr: tl.tensor,
    out_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    counts_ptr: tl.tensor,
    rows: tl.tensor,
    inputs: tl.tensor,
    outputs: tl.tensor,
    stride: tl.tensor,
    step: tl.tensor,
    IS_FILLED: tl.constexpr,
    IS_WHOLLY_OUT: tl.constexpr,
    EXPERTS: tl.constexpr,
    EXPERTS_2: tl.constexpr,
    KIND: tl.constexpr,
    GROUP: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    OUT: tl.constexpr,
    SPLITS: tl.constexpr,
    MANY: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """`stride` and `step` lead to the next output and to the next block. `EXPERTS` zero: all rows are of the only one.

    Inputs fill their last block, and outputs their last program, or a condition is asked.
    """
    await_others()
    RUNS: tl.constexpr = 4 if KIND == "int4" else 2
    RUN: tl.constexpr = 128 // RUNS
    WORDS: tl.constexpr = RUN // 2
    blocks = (inputs + 127) // 128
    wide_outputs = tl.cast(outputs, tl.int64)
    tile, part, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    expert, begin, end = 0, tile * ROWS, rows
    if EXPERTS > 0:
        expert, begin, end = _place(ends_ptr, tile, EXPERTS, EXPERTS_2, ROWS)
        if expert >= EXPERTS:
            return
    far = tl.cast(expert, tl.int64)
    out_o = part * OUT + tl.arange(0, OUT)
    row_n = begin + tl.arange(0, ROWS)
    # What is too much is computed twice and not stored: loads without a condition are made further ahead.
    weight_o = out_o if IS_WHOLLY_OUT else tl.minimum(out_o, outputs - 1)
    is_row_n = row_n < end
    each = inputs if KIND == "whole" else blocks * WORDS
    words_ptrs = words_ptr + far * wide_outputs * each + weight_o[:, None] * stride
    x_ptrs = x_ptr + row_n[None, :].to(tl.int64) * inputs
    pairs = (blocks * (128 // GROUP) + 1) // 2 if KIND == "int4" else 1
    scale_ptrs = scale_ptr + far * wide_outputs * pairs + weight_o
    acc = tl.zeros((OUT, ROWS), tl.float32)
    first, last = split * blocks // SPLITS, (split + 1) * blocks // SPLITS
    for block in tl.range(first, last, num_stages=STAGES):
        if KIND != "whole":
            words = tl.load(words_ptrs + block * step + tl.arange(0, WORDS)[None, :]).to(tl.uint32, bitcast=True)
        some = tl.zeros((OUT, ROWS), tl.float32)
        for run in tl.static_range(RUNS):
            at_i = block * 128 + run * RUN + tl.arange(0, RUN)
            is_one = is_row_n[None, :]
            if not IS_FILLED:
                is_one = is_one & (at_i < inputs)[:, None]
            x = tl.load(x_ptrs + at_i[:, None], mask=is_one, other=0.0)
            if KIND == "whole":
                numbers = _whole(words_ptrs, at_i, inputs, IS_FILLED)
            else:
                numbers = unpacked(words, run, KIND, OUT, RUN, WIDE)
            if KIND == "int4" and (GROUP == 32 or run == 0):
                scale = scale_of(scale_ptrs, block * (128 // GROUP) + run, outputs)
            if KIND == "int4" and MANY:
                numbers = numbers * scale.to(numbers.dtype)[:, None]
            if KIND == "int4" and not MANY:
                some = tl.dot(numbers, x, some, input_precision="ieee")
                if GROUP == 32 or run == RUNS - 1:
                    acc += some * scale[:, None]
                    some = tl.zeros((OUT, ROWS), tl.float32)
            else:
                acc = tl.dot(numbers, x, acc, input_precision="ieee")
    if KIND == "int8" or KIND == "fp8":
        acc *= tl.load(scale_ptrs)[:, None]
    at = row_n[None, :].to(tl.int64) * outputs + out_o[:, None]
    is_one = is_row_n[None, :] & (out_o < outputs)[:, None]
    if SPLITS == 1:
        tl.store(out_ptr + at, acc.to(out_ptr.dtype.element_ty), mask=is_one)
    else:
        count_ptr = counts_ptr + tile * tl.num_programs(1) + part
        _add_up(acc, split, at, is_one, out_ptr, partial_ptr, count_ptr, rows * wide_outputs, SPLITS)


def product(
    x_ni: Tensor, packed: Packed, ends_e: Tensor | None = None, tile: Tile | None = None, splits: int | None = None
) -> Tensor:
    """[n, o] in the type of the rows. Without `ends_e` all rows belong to the only projection.

    `tile` and `splits` say how the work is divided, where something is known better.
    What several programs add up, they count in a memory of the stream: a graph is for one stream at a time.
    """
    is_wide = x_ni.dtype == torch.float32
    x_ni = x_ni.to(torch.float32 if is_wide else torch.bfloat16).contiguous()
    rows, experts = x_ni.shape[0], 0 if ends_e is None else packed.words.shape[0]
    out_no = x_ni.new_empty(rows, packed.outputs)
    if not rows:
        return out_no
    words = packed.words.to(x_ni.dtype) if packed.is_whole else packed.words
    tile = tile or (EXACT if is_wide else _tile(WHOLE_TILES if packed.is_whole else TILES, rows, experts))
    tiles = tiles_for(tile, rows, experts)
    parts = -(-packed.outputs // tile.outputs)
    if tiles * parts > COUNTS:
        splits = 1
    splits = splits or _splits(tiles * parts, packed.padded // BLOCK, tile.programs * _processors(x_ni.device))
    grouped_product[tiles, parts, splits](
        x_ni,
        words,
        packed.scale_epoh.view(torch.int32) if packed.precision == "int4" else packed.scale_epoh,
        ends_e,
        out_no,
        out_no if splits == 1 else x_ni.new_empty(splits, rows, packed.outputs, dtype=torch.float32),
        counts(x_ni.device),
        rows,
        packed.inputs,
        packed.outputs,
        words.stride(1),
        words.stride(2),
        IS_FILLED=packed.inputs == packed.padded,
        IS_WHOLLY_OUT=packed.outputs % tile.outputs == 0,
        EXPERTS=experts,
        EXPERTS_2=triton.next_power_of_2(max(experts, 1)),
        KIND="whole" if packed.is_whole else packed.precision,
        GROUP=packed.group,
        WIDE=is_wide,
        ROWS=tile.rows,
        OUT=tile.outputs,
        SPLITS=splits,
        MANY=tile.scales_weights,
        STAGES=tile.stages,
        num_warps=tile.warps,
        **OPTIONS,
    )
    return out_no


def tiles_for(tile: Tile, rows: int, experts: int) -> int:
    """Enough however the rows fall: every expert that got one has at most one tile that is not full."""
    return rows // tile.rows + min(experts, rows) if experts else -(-rows // tile.rows)


def _tile(tiles: Sequence[Tile], rows: int, experts: int) -> Tile:
    """Rows are never divided evenly: a tile has room for twice as many as an expert gets on average."""
    expected = 2 * rows / experts if experts else rows
    return next((tile for tile in tiles if tile.rows >= expected), tiles[-1])


def _splits(programs: int, blocks: int, wanted: int) -> int:
    """Into how many parts the inputs are divided: a power of two, so that few forms are to be compiled."""
    most = max(1, min(wanted // programs, blocks // LEAST_BLOCKS, MOST_SPLITS))
    return 1 << most.bit_length() - 1


@cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 8


def counts(device: torch.device) -> Tensor:
    """All zero between calls. One for each stream, as calls in several may run at once."""
    return _counts(device, torch.cuda.current_stream(device).stream_id if device.type == "cuda" else 0)


@cache
def _counts(device: torch.device, _stream: int) -> Tensor:
    return torch.zeros(COUNTS, dtype=torch.int32, device=device)
