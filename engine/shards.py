"""The safetensors files of one directory as one mapping from names to tensors, each accounted for.

A tensor is there once, in the shape that is called for, or the directory is refused with its name; what was never
called for is refused in the end. Values of eight or sixteen bits are cast to the dtype of the computation. No pickled
file is ever opened, and an index leads to no file but those beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine import stored
from engine.device import CPU
from engine.errors import ModelRefused
from engine.manifest import check_header
from engine.mapped import Cut, MappedFiles
from engine.matrix import Matrix

UNSERVED = ("vision_model.", "multi_modal_projector.")
"""Parts of a multimodal checkpoint that are read apart from the text model, see engine/vision/weights.py."""
UNUSED = (".rotary_emb.inv_freq", *stored.BESIDE)
"""Old checkpoints hold what follows from their configuration."""


class Shards:
    """Remembers what was read, to name what was not."""

    def __init__(
        self,
        directory: Path,
        dtype: torch.dtype,
        mapped: MappedFiles | None = None,
        device: torch.device = CPU,
    ) -> None:
        """`mapped`: where routed experts stay in their files."""
        self._dtype, self._device, self.mapped = dtype, device, mapped
        self._files: dict[Path, Any] = {}
        self._where = _locate(directory)
        self._used: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._files.clear()

    def unserved(self) -> set[str]:
        """Tensors that belong to a part that is read elsewhere, and were not taken."""
        return {name for name in self._where if name.startswith(UNSERVED)} - self._used

    def has(self, name: str) -> bool:
        return name in self._where

    def raw(self, name: str) -> Tensor:
        """The tensor as it is stored."""
        if name not in self._where:
            raise ModelRefused("weights_mismatch", f"tensor `{name}` is missing")
        self._used.add(name)
        tensor: Tensor = self._open(self._where[name]).get_tensor(name)
        return tensor

    def take(self, name: str, *shape: int) -> Tensor:
        """The weights that are meant, cast; ModelRefused unless they are there in this shape and readable."""
        tensor = stored.read(self, name)
        if tuple(tensor.shape) != shape:
            told = f"tensor `{name}` has shape {list(tensor.shape)}, expected {list(shape)}"
            raise ModelRefused("weights_mismatch", told)
        return tensor.to(self._device, self._dtype)

    def in_file(self, name: str, *shape: int, cut: Cut) -> Sequence[Matrix]:
        """What `cut` takes of each matrix of a stack, left there. ModelRefused where it would have to be unpacked."""
        if self.mapped is None or not self.has(name) or any(self.has(name + end) for end in ("_scale", "_scale_inv")):
            told = "experts can stay in the file only where they are joined and stored without scales"
            raise ModelRefused("offload_unsupported", told)
        self._used.add(name)
        return self.mapped.experts(self._where[name], name, *shape, cut=cut)

    def refuse_unused(self) -> None:
        unused = set(self._where) - self._used
        rest = sorted(name for name in unused if not name.startswith(UNSERVED) and not name.endswith(UNUSED))
        if rest:
            raise ModelRefused("weights_mismatch", f"unexpected tensor `{rest[0]}` and {len(rest) - 1} more")

    def _open(self, path: Path) -> Any:  # noqa: ANN401 - safe_open has no type
        if path not in self._files:
            self._files[path] = safe_open(path, framework="pt")
        return self._files[path]


def _locate(directory: Path) -> dict[str, Path]:
    """Which file holds which tensor, from the files' own headers."""
    where: dict[str, Path] = {}
    for path in _files(directory):
        check_header(path)
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
        except SafetensorError as exc:
            raise ModelRefused("weights_mismatch", f"`{path}` is not a whole safetensors file") from exc
        for name in names:
            if name in where:
                raise ModelRefused("weights_mismatch", f"tensor `{name}` is in two files")
            where[name] = path
    return where


def _files(directory: Path) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if not index.exists():
        names = {"model.safetensors"}
    else:
        try:
            names = {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as exc:
            raise ModelRefused("weights_mismatch", f"`{index}` is not an index of tensors") from exc
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelRefused("weights_unsafe", f"`{index}` names a file that is not a safetensors file beside it")
        if not (directory / name).is_file():
            raise ModelRefused("file_missing", f"`{directory / name}` is missing")
    return [directory / name for name in sorted(names)]
