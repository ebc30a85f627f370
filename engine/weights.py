"""Safetensors files to the parameters of the forward pass, each tensor accounted for.

What the configuration calls for and what the files hold must be the same set, in name and shape; the first difference
is a refusal that names it. Values of eight or sixteen bits are cast to the dtype of the computation. Projections that
read the same input are joined, experts are turned round once, constant factors are multiplied in, and the dimensions
of a head are put into the order in which Llama 4 rotates them, so that one forward pass serves all families.
The peak is the model plus one layer. No pickled file is ever opened.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast, overload

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine import stored
from engine.device import CPU
from engine.errors import ModelRefused
from engine.form import Form, Join
from engine.manifest import check_header
from engine.mapped import Cut, MappedFiles
from engine.matrix import Lay, Matrix, laid, plain
from engine.parallel.share import WHOLE, Share
from engine.shape import LayerConfig, ModelConfig

if TYPE_CHECKING:
    from engine.gpu.experts import Experts

UNSERVED = ("vision_model.", "multi_modal_projector.")
"""Parts of a multimodal checkpoint that are read apart from the text model, see engine/vision/weights.py."""
UNUSED = (".rotary_emb.inv_freq", *stored.BESIDE)
"""Old checkpoints hold what follows from their configuration."""


@dataclass(frozen=True, slots=True)
class Mlp:
    """silu(gate) * up, then down. Gate comes first in `gate_up`."""

    gate_up: Matrix
    down: Matrix


@dataclass(frozen=True, slots=True)
class Moe:
    """Router in fp32, the experts in `linear` layout, and the expert that every token passes."""

    router_eD: Tensor
    gate_up_egD: Sequence[Matrix] | Tensor
    down_eDf: Sequence[Matrix] | Tensor
    shared: Mlp


@dataclass(frozen=True, slots=True)
class GroupedMoe:
    """The same, with all experts of a kind as one multiplication of rows that are sorted by their expert."""

    router: Matrix
    """Gives fp32."""
    gate_up: Experts
    down: Experts
    shared: Mlp


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer."""

    input_norm: Tensor
    qkv: Matrix
    out: Matrix
    post_norm: Tensor
    feed_forward: Mlp | Moe | GroupedMoe
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """All parameters, in the dtype of the computation."""

    embedding_vD: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head_vD: Matrix


class Shards:
    """The safetensors files of one directory as one mapping. Remembers what was read, to name what was not."""

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


def load_weights(
    directory: Path,
    config: ModelConfig,
    dtype: torch.dtype = torch.float32,
    lay: Lay | Form = plain,
    mapped: MappedFiles | None = None,
    share: Share = WHOLE,
) -> Weights:
    """Read everything, or refuse and say what differs. `lay` gives the projections of layers, or all, their form.

    With `mapped`, routed experts are not read: they stay in their files, in the form that they have there.
    `config` is that of the whole model, also where only a `share` of each layer is kept.
    """
    base, D, factors = config.prefix + "model.", config.hidden, config.multipliers
    form = lay if isinstance(lay, Form) else Form(lay)
    with Shards(directory, dtype, mapped, form.device) as shards:
        embedding = shards.take(base + "embed_tokens.weight", config.vocabulary, D)
        layers = _layers(shards, config, form, share)
        norm = shards.take(base + "norm.weight", D)
        head = embedding if config.tied_head else shards.take(config.prefix + "lm_head.weight", config.vocabulary, D)
        shards.refuse_unused()
    return Weights(_times(embedding, factors.embedding), layers, norm, _head(head, embedding, factors.logits, form))


def _head(head_vD: Tensor, embedding_vD: Tensor, factor: float, form: Form) -> Matrix:
    if form.head is not None:
        return form.head(_times(head_vD, factor))
    wide_vD = _times(head_vD.float(), factor)
    # What is the embedding, too, is not kept twice; all fp32 forms give the same logits.
    is_shared = form.lay is plain or wide_vD is embedding_vD
    return wide_vD if is_shared else laid(wide_vD)


def load_layers(
    directory: Path, config: ModelConfig, dtype: torch.dtype, lay: Lay, mapped: MappedFiles | None, share: Share
) -> tuple[Layer, ...]:
    """The layers alone, for a process that has no more. Tensors that nothing calls for are not its business."""
    with Shards(directory, dtype, mapped) as shards:
        return _layers(shards, config, Form(lay), share)


def _layers(shards: Shards, config: ModelConfig, form: Form, share: Share) -> tuple[Layer, ...]:
    base = config.prefix + "model.layers."
    return tuple(
        _layer(shards, f"{base}{index}.", config, layer, form, share) for index, layer in enumerate(config.layers)
    )


def _layer(shards: Shards, name: str, config: ModelConfig, layer: LayerConfig, form: Form, share: Share) -> Layer:
    lay, D, residual = form.lay, config.hidden, config.multipliers.residual
    attention, d = name + "self_attn.", config.head_dim
    q = shards.take(attention + "q_proj.weight", config.heads * d, D)
    k = shards.take(attention + "k_proj.weight", config.kv_heads * d, D)
    v = shards.take(attention + "v_proj.weight", config.kv_heads * d, D)
    out = shards.take(attention + "o_proj.weight", D, config.heads * d)
    q_norm = k_norm = None
    if config.weighted_qk_norm:
        q_norm, k_norm = shards.take(attention + "q_norm.weight", d), shards.take(attention + "k_norm.weight", d)
    if config.is_dense_family:
        q, k = in_pairs(q, d), in_pairs(k, d)
        q_norm, k_norm = (None if one is None else in_pairs(one, d) for one in (q_norm, k_norm))
    if config.multipliers.attention is not None:
        q = _times(q, config.multipliers.attention * d**0.5)
    q, k, v, out = *(share.of(one, 0) for one in (q, k, v)), share.of(out, 1)
    forward = name + ("mlp." if config.is_dense_family else "feed_forward.")
    return Layer(
        input_norm=shards.take(name + "input_layernorm.weight", D),
        qkv=lay(torch.cat([q, k, v])),
        out=lay(_times(out, residual)),
        post_norm=shards.take(name + "post_attention_layernorm.weight", D),
        feed_forward=_mixture(shards, forward, config, form, share)
        if layer.is_moe
        else _mlp(shards, forward, D, config.mlp_width, lay, share, residual),
        q_norm=q_norm,
        k_norm=k_norm,
    )


def in_pairs(rows: Tensor, head_dim: int) -> Tensor:
    """Rows i and i + d/2 of each head become neighbours. Scores do not change: queries and keys move alike."""
    return rows.view(-1, 2, head_dim // 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def _times(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1.0 else tensor * factor


def _mlp(shards: Shards, name: str, hidden: int, width: int, lay: Lay, share: Share, factor: float = 1.0) -> Mlp:
    gate, up = (share.of(shards.take(f"{name}{part}_proj.weight", width, hidden), 0) for part in ("gate", "up"))
    down = share.of(shards.take(name + "down_proj.weight", hidden, width), 1)
    return Mlp(gate_up=lay(torch.cat([gate, up])), down=lay(_times(down, factor)))


def _mixture(shards: Shards, name: str, config: ModelConfig, form: Form, share: Share) -> Moe | GroupedMoe:
    if form.join is None or form.head is None:
        return _moe(shards, name, config, form.lay, share)
    return _grouped(shards, name, config, form.lay, form.join, form.head)


def _moe(shards: Shards, name: str, config: ModelConfig, lay: Lay, share: Share) -> Moe:
    D, E, F = config.hidden, config.experts, config.expert_width
    joined = name + "experts."
    if shards.mapped is not None:
        gate_up: Sequence[Matrix] | Tensor = shards.in_file(joined + "gate_up_proj", E, D, 2 * F, cut=share.of_halves)
        down: Sequence[Matrix] | Tensor = shards.in_file(
            joined + "down_proj", E, F, D, cut=lambda one_fD: [share.of(one_fD, 0)]
        )
    elif stored.is_stored(shards, joined + "gate_up_proj"):
        # Checkpoints hold joined experts as [in, out]; `linear` wants [out, in], and is far faster on it in 16 bits.
        halves = shards.take(joined + "gate_up_proj", E, D, 2 * F).transpose(1, 2).chunk(2, dim=1)
        gate_up = _each(torch.cat([share.of(half, 1) for half in halves], dim=1), lay)
        down = _each(share.of(shards.take(joined + "down_proj", E, F, D).transpose(1, 2), 2), lay)
    else:
        gate_up, down = _single_experts(shards, joined, config, lay, share)
    return Moe(
        router_eD=shards.take(name + "router.weight", E, D).float(),
        gate_up_egD=gate_up,
        down_eDf=down,
        shared=_mlp(shards, name + "shared_expert.", D, F, lay, share),
    )


def _grouped(shards: Shards, name: str, config: ModelConfig, lay: Lay, join: Join, head: Lay) -> GroupedMoe:
    """On a device whose memory may hold hardly more than the model: one stack at a time, one expert after another."""
    D, E, F = config.hidden, config.experts, config.expert_width
    joined = name + "experts."
    if stored.is_stored(shards, joined + "gate_up_proj"):
        gate_up = join(Turned(shards.take(joined + "gate_up_proj", E, D, 2 * F)))
        down = join(Turned(shards.take(joined + "down_proj", E, F, D)))
    else:
        singles = _single_experts(shards, joined, config, plain, WHOLE)
        gate_up, down = (join(cast("Sequence[Tensor]", some)) for some in singles)
    router = head(shards.take(name + "router.weight", E, D))
    return GroupedMoe(router, gate_up, down, _mlp(shards, name + "shared_expert.", D, F, lay, WHOLE))


class Turned(Sequence[Tensor]):
    """Joined experts, which lie as [in, out], as [out, in]: each when its turn comes."""

    def __init__(self, stack_eio: Tensor) -> None:
        self._stack_eio = stack_eio

    def __len__(self) -> int:
        return len(self._stack_eio)

    @overload
    def __getitem__(self, at: int) -> Tensor: ...
    @overload
    def __getitem__(self, at: slice) -> Turned: ...
    def __getitem__(self, at: int | slice) -> Tensor | Turned:
        return Turned(self._stack_eio[at]) if isinstance(at, slice) else self._stack_eio[at].t().contiguous()


def _each(stack_eoi: Tensor, lay: Lay) -> Sequence[Matrix] | Tensor:
    return stack_eoi.contiguous() if lay is plain else [lay(one_oi.contiguous()) for one_oi in stack_eoi]


def _single_experts(
    shards: Shards, name: str, config: ModelConfig, lay: Lay, share: Share
) -> tuple[Sequence[Matrix], Sequence[Matrix]]:
    """As compressors write them: they know linear layers only, and took the experts apart."""
    sizes = (config.hidden, config.expert_width)
    experts = [_mlp(shards, f"{name}{expert}.", *sizes, lay, share) for expert in range(config.experts)]
    return [one.gate_up for one in experts], [one.down for one in experts]


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
