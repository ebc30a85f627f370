"""The memory of keys and values as loops see it: the same bytes that torch reads and writes, as arrays.

What is written is equal to the last bit to what torch would have kept of the same numbers, so steps of both kinds read
each other's. A scale that is no number makes all that it stands for none.

Shapes: k key-value heads, p positions of the whole memory, d head dimension.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from engine.fused.compiled import compiled_as_written, put, wide
from engine.fused.loops import Floats, Stored
from engine.pages import TINY, Pages

Pool: TypeAlias = tuple[Stored, Stored | None, tuple[float, float]]
"""Numbers [k, p, d]; where they have some, scales [k, p]; what a head's largest number becomes, the least scale."""
Memory: TypeAlias = tuple[Pool, Pool]
"""Keys and values of one layer."""
_AS_WHOLE = {torch.bfloat16: torch.uint16, torch.float8_e4m3fn: torch.uint8}
"""numpy does not have these: there they are whole numbers of the same bits."""


def memories(pages: Pages) -> list[Memory]:
    """Of every layer."""
    found = []
    for home in pages.layout.homes:
        scales = pages.scales(home.row)
        key_scales, value_scales = (None, None) if scales is None else (array_of(one) for one in scales)
        bounds = pages.most, TINY
        keys = array_of(pages.keys_lkpd)[home.row], key_scales, bounds
        found.append((keys, (array_of(pages.values_lkpd)[home.row], value_scales, bounds)))
    return found


def array_of(tensor: Tensor) -> Stored:
    """The same numbers."""
    found: Stored = tensor.view(_AS_WHOLE.get(tensor.dtype, tensor.dtype)).numpy()
    return found


@compiled_as_written
def keep(row_d: Floats, pool: Pool, head: int, place: int) -> None:
    """What one head has at one place."""
    _keep(row_d, pool[0], pool[1], pool[2], head, place)


@compiled_as_written
def _keep(
    row_d: Floats, numbers_kpd: Stored, scales_kp: Stored | None, bounds: tuple[float, float], head: int, place: int
) -> None:
    """Apart from the above because only what is asked of an argument is known when this is compiled."""
    if scales_kp is None:
        for at in range(row_d.shape[0]):
            put(numbers_kpd, (head, place, at), row_d[at])
        return
    limit, least, largest = np.float32(bounds[0]), np.float32(bounds[1]), np.float32(0.0)
    for value in row_d:
        # What is no number is larger than all others, and stays so.
        largest = largest if largest >= abs(value) or largest != largest else abs(value)
    put(scales_kp, (head, place), least if largest / limit < least else largest / limit)
    scale = wide(scales_kp[head, place])
    for at in range(row_d.shape[0]):
        step = row_d[at] / scale
        step = np.float32(0.0) if step != step else min(max(step, -limit), limit)
        put(numbers_kpd, (head, place, at), step)
