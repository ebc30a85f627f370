"""What the first process tells the others before a step, as whole numbers.

They have no sequences, no scheduler and no prompts: where the new keys go, which places each row sees and which adapter
it has is all that a layer needs to know, and that is what is sent. Of two layers that lie in the same blocks it is the
same, and sent once. Adapters have numbers; what belongs to one each process reads itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import torch
from torch import Tensor

from engine.kv_layout import Home, Layout
from engine.model.attention import Layer, Plan, Span
from engine.pages import Pages, Places

COPY, STEP, ADD, FORGET = range(4)
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
    adapters: Sequence[tuple[slice, int]] = ()
    """Rows, and the number of their adapter."""


@dataclass(frozen=True, slots=True)
class Add:
    """An adapter is to be read: that of these bytes, and no other that has come to lie there since."""

    number: int
    digest: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Forget:
    """Nobody has the adapter any more."""

    number: int


Order: TypeAlias = Copy | Step | Add | Forget


def copy_order(source: int, target: int, count: int) -> list[int]:
    return [COPY, source, target, count]


def add_order(number: int, digest: str, directory: Path) -> list[int]:
    return [ADD, number, len(digest), *digest.encode(), *os.fsencode(directory)]


def forget_order(number: int) -> list[int]:
    return [FORGET, number]


def step_order(positions_t: Tensor, planned: Sequence[Layer], adapters: Sequence[tuple[slice, int]] = ()) -> list[int]:
    numbers = [STEP, len(adapters)]
    for rows, number in adapters:
        numbers += [rows.start, rows.stop, number]
    numbers += [len(positions_t), *positions_t.tolist()]
    for plan in {id(layer.plan): layer.plan for layer in planned}.values():
        numbers += [*plan.writes_t.tolist(), len(plan.spans)]
        for span in plan.spans:
            numbers += [span.rows.start, span.rows.stop]
            if isinstance(span.seen, slice):
                numbers += [_ROW, span.seen.start, span.seen.stop]
            else:
                numbers += [_PLACES, len(span.seen), *span.seen.tolist()]
    return numbers


def read_order(numbers: Sequence[int], layout: Layout, pages: Pages) -> Order:
    """What one of the functions above has written; plans are about this process's own `pages`."""
    kind, *rest = numbers
    if kind == COPY:
        return Copy(*rest)
    if kind == FORGET:
        return Forget(*rest)
    if kind == ADD:
        number, length, *text = rest
        return Add(number, bytes(text[:length]).decode(), Path(os.fsdecode(bytes(text[length:]))))
    return _step(iter(rest), layout, pages)


def _step(rest: Iterator[int], layout: Layout, pages: Pages) -> Step:
    adapters = [(slice(next(rest), next(rest)), next(rest)) for _ in range(next(rest))]
    count = next(rest)
    positions_t = _tensor(rest, count)

    def plan(_home: Home) -> Plan:
        return Plan(pages, _tensor(rest, count), tuple(_span(rest) for _ in range(next(rest))))

    return Step(positions_t, [Layer(*placed) for placed in layout.for_layers(plan)], adapters)


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
