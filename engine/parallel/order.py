"""What the first process tells the others before a step, as whole numbers.

They have no sequences, no scheduler and no prompts: where the new keys go and which places each row sees is all that a
layer needs to know, and that is what is sent. Of two layers that lie in the same blocks it is the same, and sent once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import torch
from torch import Tensor

from engine.kv_layout import Layout
from engine.model.attention import Layer, Plan, Span
from engine.pages import Pages, Places

COPY, STEP = 0, 1
_ROW, _PLACES = 0, 1
_COUNT = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class Copy:
    """Some positions of the memory are to be found at another place, too."""

    source: int
    target: int
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """Positions of the rows, and where each layer's attention looks and writes."""

    positions_t: Tensor
    planned: Sequence[Layer]


def copy_order(source: int, target: int, count: int) -> list[int]:
    return [COPY, source, target, count]


def step_order(positions_t: Tensor, planned: Sequence[Layer]) -> list[int]:
    numbers = [STEP, len(positions_t), *positions_t.tolist()]
    for plan in {id(layer.plan): layer.plan for layer in planned}.values():
        numbers += [*plan.writes_t.tolist(), len(plan.spans)]
        for span in plan.spans:
            numbers += [span.rows.start, span.rows.stop]
            if isinstance(span.seen, slice):
                numbers += [_ROW, span.seen.start, span.seen.stop]
            else:
                numbers += [_PLACES, len(span.seen), *span.seen.tolist()]
    return numbers


def read_order(numbers: Sequence[int], layout: Layout, pages: Pages) -> Copy | Step:
    """What `copy_order` or `step_order` has written; plans are about this process's own `pages`."""
    rest = iter(numbers)
    if next(rest) == COPY:
        return Copy(*rest)
    count = next(rest)
    positions_t = _tensor(rest, count)
    plans: dict[tuple[bool, int], Plan] = {}
    for home in layout.homes:
        if (home.is_chunked, home.unit) not in plans:
            writes_t = _tensor(rest, count)
            plans[home.is_chunked, home.unit] = Plan(pages, writes_t, tuple(_span(rest) for _ in range(next(rest))))
    return Step(positions_t, [Layer(plans[home.is_chunked, home.unit], home.row) for home in layout.homes])


def _span(rest: Iterator[int]) -> Span:
    rows = slice(next(rest), next(rest))
    seen: Places = slice(next(rest), next(rest)) if next(rest) == _ROW else _tensor(rest, next(rest))
    return Span(rows, seen)


def _tensor(rest: Iterator[int], count: int) -> Tensor:
    return torch.tensor([next(rest) for _ in range(count)], dtype=torch.long)


def packed(numbers: Sequence[int]) -> bytes:
    """With its length in front."""
    return _COUNT.pack(len(numbers)) + struct.pack(f"<{len(numbers)}q", *numbers)


def next_order(stream: IO[bytes]) -> tuple[int, ...] | None:
    """The numbers that `packed` has made into bytes; None at the end, or where one was cut off."""
    head = stream.read(_COUNT.size)
    if len(head) < _COUNT.size:
        return None
    (count,) = _COUNT.unpack(head)
    body = stream.read(_COUNT.size * count)
    return struct.unpack(f"<{count}q", body) if len(body) == _COUNT.size * count else None
