"""The kernels of engine/gpu/between.py: each reads its rows once, computes in fp32, and rounds where torch would.

Sines and cosines come from torch, once for a step: they have to be right for positions in the millions. Rows of a
step are few, so sorting them by expert is one program that compares each with each.

Shapes: see engine/gpu/between.py.
"""
# mypy: allow-untyped-decorators
# Triton comes with torch for GPUs, and is not typed.

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.gpu.between import Added, Spread, Turn
from engine.gpu.triton_early import OPTIONS, await_others

WARPS: Final = 8
COLUMNS: Final = 1024
"""Of one program, where columns are independent."""


@triton.jit
def sum_row(
    x_ptr: tl.tensor,
    part_ptr: tl.tensor,
    found_ptr: tl.tensor,
    place_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    total_ptr: tl.tensor,
    normed_ptr: tl.tensor,
    eps: tl.tensor,
    WIDTH: tl.constexpr,
    WIDTH_2: tl.constexpr,
    HAS_PART: tl.constexpr,
    PLACES: tl.constexpr,
) -> None:
    await_others()
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDTH_2)
    is_one = at < WIDTH
    kind = total_ptr.dtype.element_ty
    total = tl.load(x_ptr + row * WIDTH + at, mask=is_one, other=0.0).to(tl.float32)
    if HAS_PART:
        total += tl.load(part_ptr + row * WIDTH + at, mask=is_one, other=0.0).to(tl.float32)
    for index in tl.static_range(PLACES):
        place = tl.load(place_ptr + row * PLACES + index)
        total += tl.load(found_ptr + place * WIDTH + at, mask=is_one, other=0.0).to(tl.float32)
    kept = total.to(kind)
    tl.store(total_ptr + row * WIDTH + at, kept, mask=is_one)
    total = kept.to(tl.float32)
    unit = total * tl.rsqrt(tl.sum(total * total, 0) / WIDTH + eps)
    weight = tl.load(weight_ptr + at, mask=is_one, other=0.0).to(tl.float32)
    tl.store(normed_ptr + row * WIDTH + at, (unit.to(kind).to(tl.float32) * weight).to(kind), mask=is_one)


def add_norm(x_bD: Tensor, added: Added, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """See engine.gpu.between.add_norm."""
    rows, width = x_bD.shape
    total_bD, normed_bD = torch.empty_like(x_bD), torch.empty_like(x_bD)
    places = 0 if added.place_n is None else len(added.place_n) // rows
    # What is not read still has to be a pointer.
    found_nD, place_n = (x_bD, x_bD) if not places else (added.found_nD, added.place_n)
    part_bD = x_bD if added.part_bD is None else added.part_bD
    given = (x_bD.contiguous(), part_bD.contiguous(), found_nD, place_n, weight_D, total_bD, normed_bD, eps)
    has_part = added.part_bD is not None
    sum_row[(rows,)](*given, width, triton.next_power_of_2(width), has_part, places, num_warps=WARPS, **OPTIONS)
    return total_bD, normed_bD


@triton.jit
def turn_head(
    joined_ptr: tl.tensor,
    angles_ptr: tl.tensor,
    heat_ptr: tl.tensor,
    q_weight_ptr: tl.tensor,
    k_weight_ptr: tl.tensor,
    writes_ptr: tl.tensor,
    q_ptr: tl.tensor,
    keys_ptr: tl.tensor,
    values_ptr: tl.tensor,
    places: tl.tensor,
    eps: tl.tensor,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    R: tl.constexpr,
    R_2: tl.constexpr,
    HAS_ANGLES: tl.constexpr,
    HAS_HEAT: tl.constexpr,
    HAS_WEIGHTS: tl.constexpr,
    IS_UNIT: tl.constexpr,
) -> None:
    await_others()
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    kind = q_ptr.dtype.element_ty
    at_r = tl.arange(0, R_2)
    is_one = at_r < R
    from_ptr = joined_ptr + (row * (HEADS + 2 * KV_HEADS) + head) * 2 * R + 2 * at_r
    even = tl.load(from_ptr, mask=is_one, other=0.0).to(tl.float32)
    odd = tl.load(from_ptr + 1, mask=is_one, other=0.0).to(tl.float32)
    if head < HEADS + KV_HEADS:
        if HAS_WEIGHTS:
            scale = tl.rsqrt(tl.sum(even * even + odd * odd, 0) / (2 * R) + eps)
            weight_ptr = (q_weight_ptr if head < HEADS else k_weight_ptr) + 2 * at_r
            even_weight = tl.load(weight_ptr, mask=is_one, other=0.0).to(tl.float32)
            odd_weight = tl.load(weight_ptr + 1, mask=is_one, other=0.0).to(tl.float32)
            even = ((even * scale).to(kind).to(tl.float32) * even_weight).to(kind).to(tl.float32)
            odd = ((odd * scale).to(kind).to(tl.float32) * odd_weight).to(kind).to(tl.float32)
        if HAS_ANGLES:
            cosine = tl.load(angles_ptr + (row * R + at_r) * 2, mask=is_one, other=0.0)
            sine = tl.load(angles_ptr + (row * R + at_r) * 2 + 1, mask=is_one, other=0.0)
            first = even * cosine - odd * sine
            odd = (even * sine + odd * cosine).to(kind).to(tl.float32)
            even = first.to(kind).to(tl.float32)
        if IS_UNIT:
            scale = tl.rsqrt(tl.sum(even * even + odd * odd, 0) / (2 * R) + eps)
            even, odd = even * scale, odd * scale
        if HAS_HEAT and head < HEADS:
            heat = tl.load(heat_ptr + row)
            even, odd = even * heat, odd * heat
    place = tl.load(writes_ptr + row)
    if head < HEADS:
        to_ptr = q_ptr + (row * HEADS + head) * 2 * R
    elif head < HEADS + KV_HEADS:
        to_ptr = keys_ptr + ((head - HEADS) * places + place) * 2 * R
    else:
        to_ptr = values_ptr + ((head - HEADS - KV_HEADS) * places + place) * 2 * R
    tl.store(to_ptr + 2 * at_r, even.to(kind), mask=is_one)
    tl.store(to_ptr + 2 * at_r + 1, odd.to(kind), mask=is_one)


def turned(joined_bhd: Tensor, turn: Turn, keys_kpd: Tensor, values_kpd: Tensor, writes_b: Tensor) -> Tensor:
    """See engine.gpu.between.turned. The pools are whole layers of the memory."""
    rows, heads, d = joined_bhd.shape
    q_bhd = torch.empty(rows, turn.heads, d, dtype=joined_bhd.dtype, device=joined_bhd.device)
    nothing = q_bhd
    angles = nothing if turn.angles_br is None else torch.view_as_real(turn.angles_br)
    q_weight, k_weight = turn.weights_2d or (nothing, nothing)
    turn_head[(rows, heads)](
        joined_bhd.contiguous(),
        angles,
        nothing if turn.heat_b is None else turn.heat_b,
        q_weight,
        k_weight,
        writes_b,
        q_bhd,
        keys_kpd,
        values_kpd,
        keys_kpd.shape[1],
        turn.eps,
        turn.heads,
        (heads - turn.heads) // 2,
        d // 2,
        triton.next_power_of_2(d // 2),
        turn.angles_br is not None,
        turn.heat_b is not None,
        turn.weights_2d is not None,
        turn.is_unit,
        num_warps=1,
        **OPTIONS,
    )
    return q_bhd


# Compiled for powers of two, not anew for each number of rows.
@triton.jit(do_not_specialize=["rows"])
def spread_row(
    x_ptr: tl.tensor,
    logits_ptr: tl.tensor,
    rows_ptr: tl.tensor,
    place_ptr: tl.tensor,
    ends_ptr: tl.tensor,
    rows: tl.tensor,
    ROWS_2: tl.constexpr,
    EXPERTS: tl.constexpr,
    EXPERTS_2: tl.constexpr,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    IS_BESIDE: tl.constexpr,
) -> None:
    await_others()
    row, part = tl.program_id(0), tl.program_id(1)
    at_b, at_e = tl.arange(0, ROWS_2), tl.arange(0, EXPERTS_2)
    is_row, is_expert = at_b < rows, at_e < EXPERTS
    is_one = is_row[:, None] & is_expert[None, :]
    logits = tl.load(logits_ptr + at_b[:, None] * EXPERTS + at_e[None, :], mask=is_one, other=-float("inf"))
    most = tl.max(logits, 1)
    # The first of the largest; of what is no number none is the largest, and any expert will do.
    expert = tl.min(tl.where(logits == most[:, None], at_e[None, :], EXPERTS_2), 1)
    expert = tl.where(is_row, tl.minimum(expert, EXPERTS - 1), EXPERTS_2)
    own = tl.sum(tl.where(at_b == row, expert, 0), 0)
    scale = tl.sum(tl.where(at_b == row, tl.sigmoid(most), 0.0), 0)
    place = tl.sum(((expert < own) | ((expert == own) & (at_b < row))).to(tl.int32), 0)
    at = part * COLUMNS + tl.arange(0, COLUMNS)
    kind = rows_ptr.dtype.element_ty
    x = tl.load(x_ptr + row * WIDTH + at, mask=at < WIDTH, other=0.0)
    tl.store(
        rows_ptr + place * WIDTH + at, (x.to(tl.float32) * scale.to(kind).to(tl.float32)).to(kind), mask=at < WIDTH
    )
    if IS_BESIDE:
        tl.store(rows_ptr + (rows + row) * WIDTH + at, x, mask=at < WIDTH)
    if part == 0:
        each: tl.constexpr = 2 if IS_BESIDE else 1
        tl.store(place_ptr + row * each, place.to(tl.int64))
        if IS_BESIDE:
            tl.store(place_ptr + row * each + 1, (rows + row).to(tl.int64))
        if row == 0:
            upto = (expert[:, None] <= at_e[None, :]).to(tl.int32)
            tl.store(ends_ptr + at_e, tl.sum(upto, 0), mask=is_expert)
            if IS_BESIDE:
                tl.store(ends_ptr + EXPERTS, 2 * rows)


def spread(x_bD: Tensor, logits_be: Tensor, is_beside: bool = False) -> Spread:
    """See engine.gpu.between.spread, with one expert for each row, and spread_beside.

    Each program sorts all rows for itself: they are few, and two kernels would take longer.
    """
    rows, width = x_bD.shape
    experts, device, each = logits_be.shape[1], x_bD.device, 2 if is_beside else 1
    rows_nD = x_bD.new_empty(each * rows, width)
    place_n = torch.empty(each * rows, dtype=torch.int64, device=device)
    ends_e = torch.empty(experts + each - 1, dtype=torch.int32, device=device)
    sizes = (rows, triton.next_power_of_2(rows), experts, triton.next_power_of_2(experts))
    grid = (rows, triton.cdiv(width, COLUMNS))
    given = (x_bD.contiguous(), logits_be.contiguous(), rows_nD, place_n, ends_e)
    spread_row[grid](*given, *sizes, width, COLUMNS, is_beside, num_warps=4, **OPTIONS)
    return Spread(rows_nD, ends_e, place_n)


@triton.jit
def gate_row(gate_up_ptr: tl.tensor, out_ptr: tl.tensor, WIDTH: tl.constexpr, COLUMNS: tl.constexpr) -> None:
    await_others()
    row, at = tl.program_id(0).to(tl.int64), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    kind = out_ptr.dtype.element_ty
    gate = tl.load(gate_up_ptr + row * 2 * WIDTH + at, mask=at < WIDTH, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + (row * 2 + 1) * WIDTH + at, mask=at < WIDTH, other=0.0).to(tl.float32)
    silu = (gate * tl.sigmoid(gate)).to(kind).to(tl.float32)
    tl.store(out_ptr + row * WIDTH + at, (silu * up).to(kind), mask=at < WIDTH)


def gated(gate_up_n2f: Tensor) -> Tensor:
    """See engine.gpu.between.gated."""
    rows, width = gate_up_n2f.shape[0], gate_up_n2f.shape[1] // 2
    out_nf = gate_up_n2f.new_empty(rows, width)
    if rows:
        gate_row[(rows, triton.cdiv(width, COLUMNS))](gate_up_n2f.contiguous(), out_nf, width, COLUMNS, **OPTIONS)
    return out_nf
