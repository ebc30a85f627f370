"""A checkpoint's tensors to the parameters of the forward pass.

What the configuration calls for and what the files hold must be the same set, in name and shape; the first difference
is a refusal that names it. Projections that read the same input are joined, experts are turned round once, constant
factors are multiplied in, and the dimensions of a head are put into the order in which Llama 4 rotates them, so that
one forward pass serves all families. The peak is the model plus one layer.

Shapes: v vocabulary, D hidden, e experts, f width of one, g twice that, o outputs, i inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

import torch
from torch import Tensor

from engine import stored
from engine.form import Form, Join
from engine.mapped import MappedFiles
from engine.matrix import Lay, Matrix, laid, plain
from engine.parallel.share import WHOLE, Share
from engine.shape import LayerConfig, ModelConfig
from engine.shards import Shards

if TYPE_CHECKING:
    from engine.gpu.experts import Experts


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
    """The same, with all experts of a kind as one multiplication of rows that are sorted by their expert.

    The shared one is the last of them, and in `shared` by itself.
    """

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
    D, residual, attention = config.hidden, config.multipliers.residual, name + "self_attn."
    out = share.of(shards.take(attention + "o_proj.weight", D, config.heads * config.head_dim), 1)
    q_norm, k_norm = _head_norms(shards, attention, config)
    forward = name + ("mlp." if config.is_dense_family else "feed_forward.")
    return Layer(
        input_norm=shards.take(name + "input_layernorm.weight", D),
        qkv=form.lay(_qkv(shards, attention, config, share)),
        out=form.lay(_times(out, residual)),
        post_norm=shards.take(name + "post_attention_layernorm.weight", D),
        feed_forward=_mixture(shards, forward, config, form, share)
        if layer.is_moe
        else _mlp(shards, forward, D, config.mlp_width, form.lay, share, residual),
        q_norm=q_norm,
        k_norm=k_norm,
    )


def _qkv(shards: Shards, name: str, config: ModelConfig, share: Share) -> Tensor:
    """This process's heads of queries, keys and values, in that order, as the rotation and the scores want them."""
    d, scale = config.head_dim, config.multipliers.attention
    heads = (("q", config.heads), ("k", config.kv_heads), ("v", config.kv_heads))
    q, k, v = (shards.take(f"{name}{one}_proj.weight", count * d, config.hidden) for one, count in heads)
    if config.is_dense_family:
        q, k = in_pairs(q, d), in_pairs(k, d)
    if scale is not None:
        q = _times(q, scale * d**0.5)
    return torch.cat([share.of(one, 0) for one in (q, k, v)])


def _head_norms(shards: Shards, name: str, config: ModelConfig) -> tuple[Tensor | None, Tensor | None]:
    """Weights of the norms of queries and of keys, of a family that has them."""
    if not config.weighted_qk_norm:
        return None, None
    q, k = (shards.take(f"{name}{one}_norm.weight", config.head_dim) for one in ("q", "k"))
    return (in_pairs(q, config.head_dim), in_pairs(k, config.head_dim)) if config.is_dense_family else (q, k)


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
    return _grouped(shards, name, config, form.join, form.head)


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


def _grouped(shards: Shards, name: str, config: ModelConfig, join: Join, head: Lay) -> GroupedMoe:
    """On a device whose memory may hold hardly more than the model: one stack at a time, one expert after another."""
    D, E, F = config.hidden, config.experts, config.expert_width
    joined = name + "experts."
    shared = _mlp(shards, name + "shared_expert.", D, F, plain, WHOLE)
    last = cast("Sequence[Tensor]", (shared.gate_up, shared.down))
    if stored.is_stored(shards, joined + "gate_up_proj"):
        gate_up = join(Turned(shards.take(joined + "gate_up_proj", E, D, 2 * F), last[0]))
        down = join(Turned(shards.take(joined + "down_proj", E, F, D), last[1]))
    else:
        singles = _single_experts(shards, joined, config, plain, WHOLE)
        gate_up, down = (join([*cast("Sequence[Tensor]", some), one]) for some, one in zip(singles, last, strict=True))
    router = head(shards.take(name + "router.weight", E, D))
    return GroupedMoe(router, gate_up, down, Mlp(gate_up.one(E), down.one(E)))


class Turned(Sequence[Tensor]):
    """Joined experts, which lie as [in, out], as [out, in]: each when its turn comes. Behind them one that does."""

    def __init__(self, stack_eio: Tensor, last_oi: Tensor) -> None:
        self._stack_eio, self._last_oi = stack_eio, last_oi

    def __len__(self) -> int:
        return len(self._stack_eio) + 1

    @overload
    def __getitem__(self, at: int) -> Tensor: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, at: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(at, slice):
            return [self[one] for one in range(len(self))[at]]
        if at == len(self._stack_eio):
            return self._last_oi
        return self._stack_eio[at].t().contiguous()


def _each(stack_eoi: Tensor, lay: Lay) -> Sequence[Matrix] | Tensor:
    return stack_eoi.contiguous() if lay is plain else [lay(one_oi.contiguous()) for one_oi in stack_eoi]


def _single_experts(
    shards: Shards, name: str, config: ModelConfig, lay: Lay, share: Share
) -> tuple[Sequence[Matrix], Sequence[Matrix]]:
    """As compressors write them: they know linear layers only, and took the experts apart."""
    sizes = (config.hidden, config.expert_width)
    experts = [_mlp(shards, f"{name}{expert}.", *sizes, lay, share) for expert in range(config.experts)]
    return [one.gate_up for one in experts], [one.down for one in experts]
