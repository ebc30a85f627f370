"""Attention of a few rows, each over the places that it sees, read where they lie in the memory of keys.

Shapes: t tokens, c what queries, keys and values have together, r rotations, k key-value heads, p positions of the
whole memory, d head dimension, n places of all texts of the step, i what all heads give out together.
"""

from __future__ import annotations

import numpy as np

from engine.fused.compiled import compiled, wide
from engine.fused.loops import Floats, Ints, Stored, exp
from engine.fused.memory import Memory, keep


@compiled
def prepare(
    joined_tc: Floats,
    heads: int,
    turn_tr: tuple[Floats, Floats],
    weight_qk_d: tuple[Floats, Floats],
    is_turned: bool,
    is_unit: bool,
    sharper_t: Floats,
    eps: float,
    memory: Memory,
    place_t: Ints,
) -> None:
    """Norm, turn and sharpen queries and keys where they are, and put keys and values into the memory.

    Weights of no elements are none: then there is no norm before the turn.
    """
    cosine_tr, sine_tr = turn_tr
    q_weight_d, k_weight_d = weight_qk_d
    keys, values = memory
    kv_heads, _, d = keys[0].shape
    for t in range(joined_tc.shape[0]):
        for head in range(heads + kv_heads):
            row_d = joined_tc[t, head * d : (head + 1) * d]
            if q_weight_d.shape[0]:
                _to_unit(row_d, eps)
                weight_d = q_weight_d if head < heads else k_weight_d
                for at in range(d):
                    row_d[at] *= weight_d[at]
            if is_turned:
                _turn(row_d, cosine_tr[t], sine_tr[t])
            if is_unit:
                _to_unit(row_d, eps)
            if head < heads:
                for at in range(d):
                    row_d[at] *= sharper_t[t]
        for head in range(kv_heads):
            key, value = (heads + head) * d, (heads + kv_heads + head) * d
            keep(joined_tc[t, key : key + d], keys, head, place_t[t])
            keep(joined_tc[t, value : value + d], values, head, place_t[t])


@compiled
def _to_unit(row_d: Floats, eps: float) -> None:
    total = np.float32(0.0)
    for value in row_d:
        total += value * value
    factor = np.float32(1.0) / np.sqrt(total / np.float32(row_d.shape[0]) + np.float32(eps))
    for at in range(row_d.shape[0]):
        row_d[at] *= factor


@compiled
def _turn(row_d: Floats, cosine_r: Floats, sine_r: Floats) -> None:
    for r in range(cosine_r.shape[0]):
        one, other = row_d[2 * r], row_d[2 * r + 1]
        row_d[2 * r] = one * cosine_r[r] - other * sine_r[r]
        row_d[2 * r + 1] = one * sine_r[r] + other * cosine_r[r]


@compiled
def attend(
    joined_tc: Floats,
    heads: int,
    memory: Memory,
    seen_n: Ints,
    begin_t: Ints,
    end_t: Ints,
    out_ti: Floats,
    first_k: int,
    last_k: int,
) -> None:
    """What each row gets from seen_n[begin:end], its own place the last of them. Keys of heads first up to last."""
    (keys_kpd, key_scales_kp, _), (values_kpd, value_scales_kp, _) = memory
    kv_heads, _, d = keys_kpd.shape
    group = heads // kv_heads
    shares_gn = np.empty((group, np.max(end_t - begin_t) + 3), np.float32)
    query_gd, found_gd = np.empty((group, d), np.float32), np.empty((group, d), np.float32)
    scale = np.float32(1.0) / np.sqrt(np.float32(d))
    for t in range(joined_tc.shape[0]):
        places_n = seen_n[begin_t[t] : end_t[t]]
        for k in range(first_k, last_k):
            for one in range(group):
                for at in range(d):
                    query_gd[one, at] = joined_tc[t, (k * group + one) * d + at] * scale
                    found_gd[one, at] = np.float32(0.0)
            _score(query_gd, keys_kpd[k], places_n, shares_gn)
            _scale(shares_gn, key_scales_kp, k, places_n)
            for one in range(group):
                _softmax(shares_gn[one, : places_n.shape[0]])
                shares_gn[one, places_n.shape[0] :] = np.float32(0.0)
            _scale(shares_gn, value_scales_kp, k, places_n)
            _mix(shares_gn, values_kpd[k], places_n, found_gd)
            for one in range(group):
                for at in range(d):
                    out_ti[t, (k * group + one) * d + at] = found_gd[one, at]


@compiled
def _score(query_gd: Floats, keys_pd: Stored, places_n: Ints, scores_gn: Floats) -> None:
    """Four places at a time; behind the last one it is that again, and what comes of it lies behind the end."""
    last = places_n.shape[0] - 1
    for n in range(0, last + 1, 4):
        p0, p1 = places_n[n], places_n[min(n + 1, last)]
        p2, p3 = places_n[min(n + 2, last)], places_n[min(n + 3, last)]
        for one in range(query_gd.shape[0]):
            s0 = s1 = s2 = s3 = np.float32(0.0)
            for at in range(query_gd.shape[1]):
                s0 += query_gd[one, at] * wide(keys_pd[p0, at])
                s1 += query_gd[one, at] * wide(keys_pd[p1, at])
                s2 += query_gd[one, at] * wide(keys_pd[p2, at])
                s3 += query_gd[one, at] * wide(keys_pd[p3, at])
            scores_gn[one, n], scores_gn[one, n + 1], scores_gn[one, n + 2], scores_gn[one, n + 3] = s0, s1, s2, s3


@compiled
def _scale(shares_gn: Floats, scales_kp: Stored | None, k: int, places_n: Ints) -> None:
    """A place's scale belongs to all of its numbers, so it can come behind the sum over them, or before."""
    if scales_kp is not None:
        for n in range(places_n.shape[0]):
            scale = wide(scales_kp[k, places_n[n]])
            for one in range(shares_gn.shape[0]):
                shares_gn[one, n] *= scale


@compiled
def _mix(shares_gn: Floats, values_pd: Stored, places_n: Ints, found_gd: Floats) -> None:
    """Four places at a time; behind the last one shares are zero."""
    last = places_n.shape[0] - 1
    for n in range(0, last + 1, 4):
        p0, p1 = places_n[n], places_n[min(n + 1, last)]
        p2, p3 = places_n[min(n + 2, last)], places_n[min(n + 3, last)]
        for one in range(found_gd.shape[0]):
            s0, s1, s2, s3 = shares_gn[one, n], shares_gn[one, n + 1], shares_gn[one, n + 2], shares_gn[one, n + 3]
            for at in range(found_gd.shape[1]):
                low = s0 * wide(values_pd[p0, at]) + s1 * wide(values_pd[p1, at])
                high = s2 * wide(values_pd[p2, at]) + s3 * wide(values_pd[p3, at])
                found_gd[one, at] += low + high


@compiled
def _softmax(scores_n: Floats) -> None:
    most = scores_n[0]
    for score in scores_n:
        most = max(most, score)
    total = np.float32(0.0)
    for at in range(scores_n.shape[0]):
        share = exp(scores_n[at] - most)
        scores_n[at] = share
        total += share
    factor = np.float32(1.0) / total
    for at in range(scores_n.shape[0]):
        scores_n[at] *= factor
