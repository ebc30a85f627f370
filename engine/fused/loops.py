"""What happens between the products of a layer, and the products of reduced weights, as loops over few rows.

All of it is fp32: activations are never reduced, sums of a row know nothing of other rows. Buffers are the caller's.

Shapes: t tokens, D hidden, i inputs, o outputs, f width of a feed-forward, e experts, n places: one for each token and
each of its experts.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.fused.compiled import compiled, compiled_as_written, prefetch, wide

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Stored: TypeAlias = npt.NDArray[Any]
"""Whole numbers of eight bits, bf16 as whole numbers of 16, or fp32."""
AHEAD = 8192
"""Bytes: what memory delivers while some tiles are computed. Without it weights of 16 bits took twice as long."""
LINE = 64
"""Bytes that come at once."""
ROWS_NEAR = 22 << 10
"""Bytes of rows that stay in the nearest cache while outputs pass by; of 32 rows and 512 inputs that saves a third."""
WEIGHTS_NEAR = 128 << 10
"""Bytes of weights that stay in the next one while rows pass by."""


@compiled_as_written
def exp(x: Any) -> Any:  # noqa: ANN401 - one fp32 number
    """e^x to some 1e-7 of it, in operations that processors do in lanes. What is no number stays none."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    x = np.float32(88.0) if x > np.float32(88.0) else x
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def add_and_norm(x_tD: Floats, part_tD: Floats, weight_D: Floats, eps: float, out_tD: Floats) -> None:
    """x += part, where it lies; out: the norm of that."""
    hidden = x_tD.shape[1]
    for t in range(x_tD.shape[0]):
        total = np.float32(0.0)
        for at in range(hidden):
            value = x_tD[t, at] + part_tD[t, at]
            x_tD[t, at] = value
            total += value * value
        factor = np.float32(1.0) / np.sqrt(total / np.float32(hidden) + np.float32(eps))
        for at in range(hidden):
            out_tD[t, at] = x_tD[t, at] * factor * weight_D[at]


@compiled
def gate(gate_up_tg: Floats, out_tf: Floats) -> None:
    """silu(gate) * up; gate comes first."""
    width = out_tf.shape[1]
    for t in range(out_tf.shape[0]):
        for at in range(width):
            value = gate_up_tg[t, at]
            out_tf[t, at] = value / (np.float32(1.0) + exp(-value)) * gate_up_tg[t, width + at]


@compiled
def route(x_tD: Floats, router_eD: Floats, each: int, rows_nD: Floats, token_n: Ints, count_e: Ints) -> None:
    """The `each` likeliest experts of every token: their inputs, scaled by the sigmoid, in the order of the experts."""
    tokens, hidden = x_tD.shape
    experts = router_eD.shape[0]
    is_chosen_te = np.zeros((tokens, experts), np.bool_)
    logits_te = np.empty((tokens, experts), np.float32)
    count_e[:] = 0
    for t in range(tokens):
        for e in range(experts):
            total = np.float32(0.0)
            for at in range(hidden):
                total += x_tD[t, at] * router_eD[e, at]
            logits_te[t, e] = total
        for _ in range(each):
            best = -1
            for e in range(experts):
                if not is_chosen_te[t, e] and (best < 0 or logits_te[t, e] > logits_te[t, best]):
                    best = e
            is_chosen_te[t, best] = True
            count_e[best] += 1
    n = 0
    for e in range(experts):
        for t in range(tokens):
            if is_chosen_te[t, e]:
                token_n[n] = t
                scale = np.float32(1.0) / (np.float32(1.0) + exp(-logits_te[t, e]))
                for at in range(hidden):
                    rows_nD[n, at] = x_tD[t, at] * scale
                n += 1


@compiled
def add_rows(part_tD: Floats, rows_nD: Floats, token_n: Ints) -> None:
    """Each row to that of its token."""
    for n in range(rows_nD.shape[0]):
        t = token_n[n]
        for at in range(rows_nD.shape[1]):
            part_tD[t, at] += rows_nD[n, at]


@compiled
def times(x_ti: Floats, weight_oi: Stored, scale_o: Floats, out_to: Floats, begin: int, end: int) -> None:
    """Outputs begin to end of x W^T, each by its scale."""
    shared = begin
    # Two or three rows are done before wider weights have come from memory, so there is nothing to gain.
    if x_ti.shape[0] >= (4 if weight_oi.itemsize > 2 else 3):
        shared = begin + (end - begin) // 2 * 2
        _times_in_blocks(x_ti, weight_oi, scale_o, out_to, begin, shared)
    for o in range(shared, end):
        for t in range(x_ti.shape[0]):
            total = np.float32(0.0)
            for i in range(x_ti.shape[1]):
                total += wide(weight_oi[o, i]) * x_ti[t, i]
            out_to[t, o] = total * scale_o[o]


@compiled
def dense(x_tD: Floats, gate_up: tuple[Stored, Floats], down: tuple[Stored, Floats]) -> Floats:
    """A whole feed-forward of weights and their scales: one call instead of three."""
    tokens, both = x_tD.shape[0], gate_up[0].shape[0]
    gate_up_tg, x_tf = np.empty((tokens, both), np.float32), np.empty((tokens, both // 2), np.float32)
    out_tD = np.empty((tokens, down[0].shape[0]), np.float32)
    times(x_tD, gate_up[0], gate_up[1], gate_up_tg, 0, both)
    gate(gate_up_tg, x_tf)
    times(x_tf, down[0], down[1], out_tD, 0, out_tD.shape[1])
    return out_tD


@compiled
def _times_in_blocks(x_ti: Floats, weight_oi: Stored, scale_o: Floats, out_to: Floats, begin: int, end: int) -> None:
    """Some rows and some outputs at a time, as many as stay near the processor while each meets each."""
    rows, inputs = x_ti.shape
    rows_near = max(4, ROWS_NEAR // (4 * inputs) // 4 * 4)
    outputs_near = max(2, WEIGHTS_NEAR // (weight_oi.itemsize * inputs) // 2 * 2)
    for o in range(begin, end, outputs_near):
        for t in range(0, rows, rows_near):
            behind = min(o + outputs_near, end), min(t + rows_near, rows)
            _times_in_tiles(x_ti, weight_oi, scale_o, out_to, (o, t), behind)


@compiled
def _times_in_tiles(
    x_ti: Floats, weight_oi: Stored, scale_o: Floats, out_to: Floats, first: tuple[int, int], behind: tuple[int, int]
) -> None:
    """Two outputs of four rows at a time: what is read and widened once serves several sums.

    From the first output and row up to those behind the last. Where the last tile has fewer rows, the last of all is
    computed more than once.
    """
    inputs, begin, most = x_ti.shape[1], first[1], behind[1] - 1
    tiles, pair = (behind[1] - begin + 3) // 4, 2 * inputs
    for o in range(first[0], behind[0], 2):
        for tile in range(tiles):
            if begin == 0:
                fetch(weight_oi, o * inputs + pair * tile // tiles, o * inputs + pair * (tile + 1) // tiles)
            t0 = begin + 4 * tile
            t1, t2, t3 = min(t0 + 1, most), min(t0 + 2, most), min(t0 + 3, most)
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = np.float32(0.0)
            for i in range(inputs):
                a, b = wide(weight_oi[o, i]), wide(weight_oi[o + 1, i])
                a0 += a * x_ti[t0, i]
                a1 += a * x_ti[t1, i]
                a2 += a * x_ti[t2, i]
                a3 += a * x_ti[t3, i]
                b0 += b * x_ti[t0, i]
                b1 += b * x_ti[t1, i]
                b2 += b * x_ti[t2, i]
                b3 += b * x_ti[t3, i]
            for at, sums in ((o, (a0, a1, a2, a3)), (o + 1, (b0, b1, b2, b3))):
                out_to[t0, at], out_to[t1, at] = sums[0] * scale_o[at], sums[1] * scale_o[at]
                out_to[t2, at], out_to[t3, at] = sums[2] * scale_o[at], sums[3] * scale_o[at]


@compiled
def fetch(weight_oi: Stored, first: int, last: int) -> None:
    """Ask for what lies AHEAD bytes behind these elements, so that it is there when its turn comes."""
    size = weight_oi.itemsize
    for at in range(first * size + AHEAD, min(last * size + AHEAD, weight_oi.size * size), LINE):
        prefetch(weight_oi, at)
