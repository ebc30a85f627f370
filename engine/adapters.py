"""A directory of PEFT's layout to the matrices that are added to a model's projections, each tensor accounted for.

An adapter fits one base model: every tensor has to belong to a projection that this model has, in its shape, with its
partner, and every module that the configuration names has to have its tensors. What is not computed here (routed
experts, embeddings, head, norms, the part that sees pictures) is refused by name. What loading does to the rows
of a base projection is done to the rows of its second matrix, so both add up as if they had been merged.
Where processes share a model each keeps what adds to its own part of a projection: rows of the second matrix where
outputs are divided, columns of the first where inputs are.
A whole adapter or none: a ModelRefused says what is wrong, and nothing of it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine import manifest
from engine.adapter_config import AdapterConfig, read_adapter_config
from engine.device import CPU
from engine.errors import ModelRefused
from engine.model.low_rank import AdaptedLayer, Place, Placed, joined
from engine.parallel.share import WHOLE, Share, divided
from engine.shape import ModelConfig
from engine.stored import FLOATS
from engine.weights import in_pairs

FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
MAX_BYTES = 2 * 1024**3
"""Of the file. Rank 32 on all projections of a model of 70 billion parameters is less than half of this in 16 bits."""
_DIVIDES_OUTPUTS = (Place.QKV, Place.GATE_UP)
"""The others divide what they read, and add up to a sum over all processes."""
_TENSOR = re.compile(r"(?P<module>[A-Za-z0-9_.]+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Adapter:
    """What is added to each layer. Whoever runs with it holds it, so taking it away harms nobody."""

    digest: str
    """Of the adapter's own files. Keys and values computed with it are kept under this name."""
    rank: int
    """The largest."""
    layers: tuple[AdaptedLayer, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Projection:
    """A projection of the base model that an adapter may change."""

    layer: int
    place: Place
    inputs: int
    columns: slice
    """Where its outputs lie in the joined multiplication."""
    factor: float = 1.0
    head_dim: int = 0
    """Other than zero where the dimensions of a head were put into another order."""

    @property
    def outputs(self) -> int:
        return int(self.columns.stop - self.columns.start)


def load_adapter(
    directory: Path,
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device = CPU,
    share: Share = WHOLE,
) -> Adapter:
    """Verify and read; `config` is that of the whole model, also for a `share`.

    ModelRefused when it is no whole adapter of this model, ManifestProblem for a wrong byte.
    """
    path = directory / FILE
    if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
        raise ModelRefused("adapter_too_large", f"`{path}` has {size} bytes, expected at most {MAX_BYTES}")
    digest = manifest.verify(directory).digest
    stated, known = read_adapter_config(directory), _projections(config)
    tensors = _read(path, known)
    _refuse_unless_whole(stated, known, set(tensors))
    ranks = [stated.rank_of(module) for module in tensors]
    return Adapter(digest, max(ranks, default=0), _layers(config, stated, tensors, (device, dtype), share))


def _projections(config: ModelConfig) -> dict[str, _Projection]:
    """By the name of the module."""
    found: dict[str, _Projection] = {}
    D, d, residual = config.hidden, config.head_dim, config.multipliers.residual
    heads, kv_heads = config.heads * d, config.kv_heads * d
    pairs = d if config.is_dense_family else 0
    attention = config.multipliers.attention
    sharper = 1.0 if attention is None else attention * d**0.5
    for index, layer in enumerate(config.layers):
        base = f"{config.prefix}model.layers.{index}."
        name, qkv = base + "self_attn.", (index, Place.QKV, D)
        found[name + "q_proj"] = _Projection(*qkv, slice(0, heads), sharper, pairs)
        found[name + "k_proj"] = _Projection(*qkv, slice(heads, heads + kv_heads), 1.0, pairs)
        found[name + "v_proj"] = _Projection(*qkv, slice(heads + kv_heads, heads + 2 * kv_heads))
        found[name + "o_proj"] = _Projection(index, Place.OUT, heads, slice(0, D), residual)
        name = base + ("mlp." if config.is_dense_family else "feed_forward.")
        name += "shared_expert." if layer.is_moe else ""
        width = config.expert_width if layer.is_moe else config.mlp_width
        found[name + "gate_proj"] = _Projection(index, Place.GATE_UP, D, slice(0, width))
        found[name + "up_proj"] = _Projection(index, Place.GATE_UP, D, slice(width, 2 * width))
        found[name + "down_proj"] = _Projection(index, Place.DOWN, width, slice(0, D), residual)
    return found


def _read(path: Path, known: Mapping[str, _Projection]) -> dict[str, tuple[Tensor, Tensor]]:
    """Both matrices of each module, in fp32, finite."""
    if not path.is_file():
        raise ModelRefused("file_missing", f"`{path}` is missing")
    sides: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                module, side = _named(name, known)
                sides.setdefault(module, {})[side] = _checked(name, file.get_tensor(name))
    except SafetensorError as exc:
        raise ModelRefused("weights_mismatch", f"`{path}` is not a whole safetensors file") from exc
    for module, found in sides.items():
        if lacking := {"A", "B"} - set(found):
            told = f"tensor `{PREFIX}{module}.lora_{lacking.pop()}.weight` is missing"
            raise ModelRefused("weights_mismatch", told)
    return {module: (found["A"], found["B"]) for module, found in sorted(sides.items())}


def _named(name: str, known: Mapping[str, _Projection]) -> tuple[str, str]:
    found = _TENSOR.fullmatch(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    if found is None:
        told = f"tensor `{name}` is not `{PREFIX}….lora_A.weight` or `….lora_B.weight`; nothing else is computed"
        raise ModelRefused("adapter_unsupported", told)
    if found["module"] not in known:
        told = f"`{found['module']}` is no projection of this model to which an adapter can be added"
        raise ModelRefused("adapter_unsupported", told)
    return found["module"], found["side"]


def _checked(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype not in FLOATS:
        raise ModelRefused("weights_mismatch", f"tensor `{name}` is {tensor.dtype}, expected a floating type")
    if not torch.isfinite(tensor := tensor.float()).all():
        raise ModelRefused("not_finite", f"tensor `{name}` holds values that are not finite numbers")
    return tensor


def _refuse_unless_whole(stated: AdapterConfig, known: Mapping[str, _Projection], present: set[str]) -> None:
    if not present:
        raise ModelRefused("weights_mismatch", f"`{FILE}` holds no tensor")
    for target in stated.targets:
        modules = [name for name in known if name == target or name.endswith("." + target)]
        if not modules:
            told = f"`target_modules` names `{target}`, to which no adapter can be added here"
            raise ModelRefused("adapter_unsupported", told)
        for module in modules:
            if module not in present:
                raise ModelRefused("weights_mismatch", f"tensor `{PREFIX}{module}.lora_A.weight` is missing")


def _layers(
    config: ModelConfig,
    stated: AdapterConfig,
    tensors: Mapping[str, tuple[Tensor, Tensor]],
    kept: tuple[torch.device, torch.dtype],
    share: Share,
) -> tuple[AdaptedLayer, ...]:
    known, mine = _projections(config), _projections(divided(config, share.world))
    parts: list[dict[Place, list[Placed]]] = [{} for _ in config.layers]
    for module, pair in tensors.items():
        projection = known[module]
        down_ri, up_or = _share_of(share, projection.place, *_fitted(module, projection, stated, *pair))
        placed = (mine[module].columns, down_ri.to(*kept), up_or.T.to(*kept))
        parts[projection.layer].setdefault(projection.place, []).append(placed)
    return tuple({place: joined(found) for place, found in layer.items()} for layer in parts)


def _fitted(
    module: str, projection: _Projection, stated: AdapterConfig, down_ri: Tensor, up_or: Tensor
) -> tuple[Tensor, Tensor]:
    """With factors multiplied in, and rows where those of the base model are."""
    _check_shape(f"{module}.lora_A", down_ri, stated.rank_of(module), projection.inputs)
    _check_shape(f"{module}.lora_B", up_or, projection.outputs, stated.rank_of(module))
    if projection.head_dim:
        up_or = in_pairs(up_or, projection.head_dim)
    return down_ri, up_or * (stated.factor(module) * projection.factor)


def _share_of(share: Share, place: Place, down_ri: Tensor, up_or: Tensor) -> tuple[Tensor, Tensor]:
    return (down_ri, share.of(up_or, 0)) if place in _DIVIDES_OUTPUTS else (share.of(down_ri, 1), up_or)


def _check_shape(name: str, tensor: Tensor, *expected: int) -> None:
    if tuple(tensor.shape) != expected:
        told = f"tensor `{PREFIX}{name}.weight` has shape {list(tensor.shape)}, expected {list(expected)}"
        raise ModelRefused("weights_mismatch", told)
