"""Experts that stay in their file: mapped into memory, read when a token is routed to them, and let go again.

A token uses one expert of many, so most of a mixture's weights lie idle at any time. Here they are never copied: the
checkpoint's file is mapped, an expert's pages come from the disk when it is first used, and those that were used last
longest ago are given back to the system beyond a stated number of bytes. The system may go on caching the file in
memory that nobody else wants. The mapping is private and never written to, so giving pages back loses nothing.
It is for machines whose memory does not hold the model: a step waits for the disk where it meets an expert anew.
Processes that share a model map the same files and read each a part of an expert; what the system caches serves all.

Shapes: t tokens, i inputs, o outputs, e experts.
"""

from __future__ import annotations

import json
import math
import mmap
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from engine.errors import ModelRefused

DTYPES: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn}
"""What is read as it is. Anything with scales beside it is not."""


Cut: TypeAlias = Callable[[Tensor], Sequence[Tensor]]
"""Views of those parts of a matrix that are needed, to be put beside one another."""


class Resident:
    """Which matrices are in memory, as far as that is up to us: the ones used last, up to so many bytes."""

    def __init__(self, limit: int) -> None:
        """Zero: as many as the system has room for."""
        self._limit, self._bytes = limit, 0
        self._used: OrderedDict[int, Mapped] = OrderedDict()

    def touch(self, matrix: Mapped) -> None:
        """This one is about to be read."""
        if self._limit == 0:
            return
        if self._used.pop(id(matrix), None) is None:
            self._bytes += matrix.size
            matrix.advise(mmap.MADV_WILLNEED)
        self._used[id(matrix)] = matrix
        while self._bytes > self._limit and len(self._used) > 1:
            _, oldest = self._used.popitem(last=False)
            oldest.advise(mmap.MADV_DONTNEED)
            self._bytes -= oldest.size


class Mapped:
    """One expert's matrix where it lies in the file, as checkpoints have it: inputs first. Or parts of its outputs."""

    def __init__(self, parts_io: Sequence[Tensor], file: mmap.mmap, begin: int, resident: Resident) -> None:
        """`parts_io`: views of what lies in the file from `begin` on."""
        self._parts_io, self._file, self._resident = parts_io, file, resident
        self.size = sum(part.nbytes for part in parts_io)
        offsets = [part.storage_offset() for part in parts_io]
        ends = [offset + _extent(part) for offset, part in zip(offsets, parts_io, strict=True)]
        each = parts_io[0].itemsize
        self._begin, self._end = begin + min(offsets) * each, begin + max(ends) * each

    def times(self, x_ti: Tensor) -> Tensor:
        self._resident.touch(self)
        found = [x_ti @ part_io.to(x_ti.dtype) for part_io in self._parts_io]
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1)

    def advise(self, what: int) -> None:
        """Of whole pages that hold nothing else."""
        first = -(-self._begin // mmap.PAGESIZE) * mmap.PAGESIZE
        end = self._end // mmap.PAGESIZE * mmap.PAGESIZE
        if end > first:
            self._file.madvise(what, first, end - first)


def _extent(part: Tensor) -> int:
    """From its first number to its last, with what lies between them."""
    return 1 + sum((length - 1) * stride for length, stride in zip(part.shape, part.stride(), strict=True))


def _all_of(weight_io: Tensor) -> Sequence[Tensor]:
    return [weight_io]


class MappedFiles:
    """The checkpoint's files, each mapped once."""

    def __init__(self, limit: int = 0) -> None:
        self._resident = Resident(limit)
        self._files: dict[Path, tuple[mmap.mmap, dict[str, Any], int]] = {}

    def experts(self, path: Path, name: str, *shape: int, cut: Cut = _all_of) -> list[Mapped]:
        """Of the matrices of a stack [e, i, o]. ModelRefused unless it is there so and needs no unpacking."""
        file, header, data = self._open(path)
        stated = header[name]
        if stated["dtype"] not in DTYPES:
            told = f"tensor `{name}` is {stated['dtype']}: experts can stay in the file as {', '.join(DTYPES)} only"
            raise ModelRefused("offload_unsupported", told)
        if tuple(stated["shape"]) != shape:
            raise ModelRefused(
                "weights_mismatch", f"tensor `{name}` has shape {stated['shape']}, expected {list(shape)}"
            )
        dtype, count = DTYPES[stated["dtype"]], math.prod(shape[1:])
        begins = [data + stated["data_offsets"][0] + at * count * dtype.itemsize for at in range(shape[0])]
        views = [torch.frombuffer(file, dtype=dtype, count=count, offset=begin).view(shape[1:]) for begin in begins]
        return [Mapped(cut(view), file, begin, self._resident) for view, begin in zip(views, begins, strict=True)]

    def _open(self, path: Path) -> tuple[mmap.mmap, dict[str, Any], int]:
        """The file, its header, and where its data begin. The header's form was checked when the file was located."""
        if path not in self._files:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
                # A private mapping that could be written to, because torch warns of others; nobody writes.
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            self._files[path] = (mapped, header, 8 + length)
        return self._files[path]
