"""Paged attention of one token of each sequence: a part of the positions a program, and a second kernel that joins.

However long a text is, the whole card reads it: each sequence's positions are divided evenly into as many parts as keep
all processors busy, from its own length, which the card alone knows. Each program takes the heads that share keys
together, so keys and values are read once. Parts keep their largest score and their sum, and joining them is exact.

Shapes: b sequences, h heads, k key-value heads, g heads that share keys, d head dimension, p positions of the memory,
l blocks of the longest sequence, s positions of one step of a program, c parts.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.gpu.triton_early import OPTIONS, await_others

LOG2_E: Final = 1.4426950408889634
TILES: Final = {1: (128, 2), 2: (64, 3), 4: (64, 2)}
"""Positions of one step, and steps that are on their way, by bytes of a number."""
WARPS: Final = 4
PROGRAMS: Final = 4
"""For each processor."""
MOST_PARTS: Final = 64
_LEAST_ROWS: Final = 16
"""Of the left factor of a product."""


@triton.jit
def _read(
    pool_ptr: tl.tensor, place_s: tl.tensor, is_seen_s: tl.tensor, like: tl.tensor, D: tl.constexpr, D_2: tl.constexpr
) -> tl.tensor:
    """Keys or values at some places, zeros where nothing is seen: memory that nobody wrote yet may hold anything."""
    at_d = tl.arange(0, D_2)
    is_one = is_seen_s[:, None] & (at_d < D)[None, :]
    return tl.load(pool_ptr + place_s.to(tl.int64)[:, None] * D + at_d[None, :], mask=is_one, other=0.0).to(like.dtype)


@triton.jit
def attend_part(
    q_ptr: tl.tensor,
    keys_ptr: tl.tensor,
    values_ptr: tl.tensor,
    key_scales_ptr: tl.tensor,
    value_scales_ptr: tl.tensor,
    places_ptr: tl.tensor,
    lengths_ptr: tl.tensor,
    firsts_ptr: tl.tensor,
    found_ptr: tl.tensor,
    peaks_ptr: tl.tensor,
    sums_ptr: tl.tensor,
    places_stride: tl.tensor,
    positions: tl.tensor,
    scale: tl.tensor,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    GROUP_2: tl.constexpr,
    D: tl.constexpr,
    D_2: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    PARTS: tl.constexpr,
    IS_SCALED: tl.constexpr,
    HAS_FIRSTS: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    await_others()
    row, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths_ptr + row)
    first = tl.load(firsts_ptr + row) if HAS_FIRSTS else 0
    begin, end = first // TILE, (length + TILE - 1) // TILE
    each = (end - begin + PARTS - 1) // PARTS
    begin += part * each
    end = tl.minimum(begin + each, end)
    at_g, at_d = tl.arange(0, GROUP_2), tl.arange(0, D_2)
    is_q = (at_g < GROUP)[:, None] & (at_d < D)[None, :]
    head_g = (row * KV_HEADS + kv) * GROUP + at_g
    q_gd = tl.load(q_ptr + head_g[:, None] * D + at_d[None, :], mask=is_q, other=0.0)
    far = kv.to(tl.int64) * positions
    peak_g = tl.full((GROUP_2,), float("-inf"), tl.float32)
    sum_g = tl.zeros((GROUP_2,), tl.float32)
    found_gd = tl.zeros((GROUP_2, D_2), tl.float32)
    for tile in tl.range(begin, end, num_stages=STAGES):
        at_s = tile * TILE + tl.arange(0, TILE)
        is_seen_s = (at_s >= first) & (at_s < length)
        place_s = tl.load(places_ptr + row * places_stride + at_s // BLOCK, mask=is_seen_s, other=0) + at_s % BLOCK
        keys_sd = _read(keys_ptr + far * D, place_s, is_seen_s, q_gd, D, D_2)
        scores_gs = tl.dot(q_gd, tl.trans(keys_sd), input_precision="ieee") * scale
        if IS_SCALED:
            scores_gs *= tl.load(key_scales_ptr + far + place_s, mask=is_seen_s, other=0.0).to(tl.float32)[None, :]
        scores_gs = tl.where(is_seen_s[None, :], scores_gs, float("-inf"))
        # A tile may be wholly before the first position: then nothing is the largest yet.
        higher_g = tl.maximum(peak_g, tl.max(scores_gs, 1))
        safe_g = tl.where(higher_g == float("-inf"), 0.0, higher_g)
        shares_gs = tl.exp2(scores_gs - safe_g[:, None])
        fade_g = tl.exp2(peak_g - safe_g)
        sum_g = sum_g * fade_g + tl.sum(shares_gs, 1)
        if IS_SCALED:
            shares_gs *= tl.load(value_scales_ptr + far + place_s, mask=is_seen_s, other=0.0).to(tl.float32)[None, :]
        values_sd = _read(values_ptr + far * D, place_s, is_seen_s, q_gd, D, D_2)
        found_gd = found_gd * fade_g[:, None]
        found_gd = tl.dot(shares_gs.to(q_gd.dtype), values_sd, found_gd, input_precision="ieee")
        peak_g = higher_g
    at_g = head_g * PARTS + part
    tl.store(found_ptr + at_g[:, None] * D + at_d[None, :], found_gd, mask=is_q)
    tl.store(peaks_ptr + at_g, peak_g, mask=tl.arange(0, GROUP_2) < GROUP)
    tl.store(sums_ptr + at_g, sum_g, mask=tl.arange(0, GROUP_2) < GROUP)


@triton.jit
def join_parts(
    found_ptr: tl.tensor,
    peaks_ptr: tl.tensor,
    sums_ptr: tl.tensor,
    out_ptr: tl.tensor,
    D: tl.constexpr,
    D_2: tl.constexpr,
    PARTS: tl.constexpr,
    PARTS_2: tl.constexpr,
) -> None:
    await_others()
    head = tl.program_id(0)
    at_c, at_d = tl.arange(0, PARTS_2), tl.arange(0, D_2)
    is_part = at_c < PARTS
    peak_c = tl.load(peaks_ptr + head * PARTS + at_c, mask=is_part, other=float("-inf"))
    sum_c = tl.load(sums_ptr + head * PARTS + at_c, mask=is_part, other=0.0)
    is_one = is_part[:, None] & (at_d < D)[None, :]
    found_cd = tl.load(found_ptr + (head * PARTS + at_c)[:, None] * D + at_d[None, :], mask=is_one, other=0.0)
    highest = tl.max(peak_c, 0)
    share_c = tl.exp2(peak_c - tl.where(highest == float("-inf"), 0.0, highest))
    total = tl.sum(share_c * sum_c, 0)
    found_d = tl.sum(found_cd * share_c[:, None], 0) / tl.where(total == 0.0, 1.0, total)
    tl.store(out_ptr + head * D + at_d, found_d.to(out_ptr.dtype.element_ty), mask=at_d < D)


def decode_attention(
    q_bhd: Tensor,
    keys_kpd: Tensor,
    values_kpd: Tensor,
    places_bl: Tensor,
    lengths_b: Tensor,
    block: int,
    scales: tuple[Tensor, Tensor] | None,
    firsts_b: Tensor | None,
) -> Tensor:
    """See engine/gpu/paged.py. The longest text is divided into so many parts, others into as many that are shorter."""
    count, heads, d = q_bhd.shape
    kv_heads, positions, _ = keys_kpd.shape
    tile, stages = TILES[keys_kpd.dtype.itemsize]
    most = min(-(-places_bl.shape[1] * block // tile), MOST_PARTS)
    parts = max(1, min(PROGRAMS * _processors(q_bhd.device) // (count * kv_heads), most))
    found = torch.empty(count, heads, parts, d, dtype=torch.float32, device=q_bhd.device)
    peaks, sums = torch.empty(2, count, heads, parts, dtype=torch.float32, device=q_bhd.device)
    widths = {"D": d, "D_2": max(triton.next_power_of_2(d), _LEAST_ROWS), "PARTS": parts}
    key_scales, value_scales = scales or (None, None)
    out_bhd = torch.empty_like(q_bhd, memory_format=torch.contiguous_format)
    attend_part[count, kv_heads, parts](
        q_bhd.contiguous(),
        keys_kpd,
        values_kpd,
        key_scales,
        value_scales,
        places_bl,
        lengths_b,
        firsts_b,
        found,
        peaks,
        sums,
        places_bl.stride(0),
        positions,
        d**-0.5 * LOG2_E,
        KV_HEADS=kv_heads,
        GROUP=heads // kv_heads,
        GROUP_2=max(triton.next_power_of_2(heads // kv_heads), _LEAST_ROWS),
        BLOCK=block,
        TILE=tile,
        IS_SCALED=scales is not None,
        HAS_FIRSTS=firsts_b is not None,
        STAGES=stages,
        num_warps=WARPS,
        **widths,
        **OPTIONS,
    )
    given = (found, peaks, sums, out_bhd)
    join_parts[(count * heads,)](*given, PARTS_2=triton.next_power_of_2(parts), **widths, **OPTIONS)
    return out_bhd


@cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 8
