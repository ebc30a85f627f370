"""Experts that stay in their file: mapped into memory, read when a token is routed to them, and let go again.

A token uses one expert of many, so most of a mixture's weights lie idle at any time. Here they are never copied: the
checkpoint's file is mapped, an expert's pages come from the disk when it is first used, and those that were used last
longest ago are given back to the system beyond a stated number of bytes. The system may go on caching the file in
memory that nobody else wants. The mapping is private and never written to, so giving pages back loses nothing.
It is for machines whose memory does not hold the model: a step waits for the disk where it meets an expert anew.

Shapes: t tokens, i inputs, o outputs, e experts.
"""

from __future__ import annotations

import json
import math
import mmap
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from engine.errors import ModelRefused

DTYPES: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn}
"""What is read as it is. Anything with scales beside it is not."""


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
    """One expert's matrix where it lies in the file, as checkpoints have it: inputs first."""

    def __init__(self, weight_io: Tensor, file: mmap.mmap, begin: int, resident: Resident) -> None:
        self._weight_io, self._file, self._begin, self._resident = weight_io, file, begin, resident
        self.size = weight_io.nbytes

    def times(self, x_ti: Tensor) -> Tensor:
        self._resident.touch(self)
        return x_ti @ self._weight_io.to(x_ti.dtype)

    def advise(self, what: int) -> None:
        """Of whole pages that hold nothing else."""
        first = -(-self._begin // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (self._begin + self.size) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > first:
            self._file.madvise(what, first, end - first)


class MappedFiles:
    """The checkpoint's files, each mapped once."""

    def __init__(self, limit: int = 0) -> None:
        self._resident = Resident(limit)
        self._files: dict[Path, tuple[mmap.mmap, dict[str, Any], int]] = {}

    def experts(self, path: Path, name: str, *shape: int) -> list[Mapped]:
        """The matrices of a stack [e, i, o]. ModelRefused unless it is there so and needs no unpacking."""
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
        return [Mapped(view, file, begin, self._resident) for view, begin in zip(views, begins, strict=True)]

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
