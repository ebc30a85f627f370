"""Feed-forward parts: the dense MLP, and the mixture of experts with its shared expert.

Llama 4 routes on the logits' top k and multiplies the sigmoid of each kept logit into the expert's *input*; it is not
a softmax and not renormalised. Only experts that got a token are computed: reading all of them for every token is
what makes the reference implementation slow.

Shapes: t tokens, D hidden, e experts, g = 2f gate and up, f expert width, k experts per token, n places: one
for each token and each of its experts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.matrix import Matrix, times
from engine.model.low_rank import UNCHANGED, Adapted, Place
from engine.weights import Mlp, Moe


def mlp(x_tD: Tensor, weights: Mlp, adapted: Adapted = UNCHANGED) -> Tensor:
    return _gated(x_tD, weights.gate_up, weights.down, adapted)


def moe(x_tD: Tensor, weights: Moe, experts_per_token: int, adapted: Adapted = UNCHANGED) -> Tensor:
    """Adapters add to the shared expert; the routed ones are the base model's."""
    scale_tk, chosen_tk = routed(F.linear(x_tD.float(), weights.router_eD), experts_per_token, x_tD.dtype)
    out_tD = mlp(x_tD, weights.shared, adapted)
    if chosen_tk.numel() == 1:
        expert = int(chosen_tk)
        return out_tD.add_(_gated(x_tD * scale_tk, weights.gate_up_egD[expert], weights.down_eDf[expert]))
    counts_e, order_n = _by_expert(chosen_tk)
    tokens_n = order_n // experts_per_token
    scaled_nD = x_tD[tokens_n] * scale_tk.flatten()[order_n, None]
    parts, begin = [], 0
    for expert, count in enumerate(counts_e):
        if count:
            rows_nD = scaled_nD[begin : begin + count]
            parts.append(_gated(rows_nD, weights.gate_up_egD[expert], weights.down_eDf[expert]))
            begin += count
    return out_tD.index_add_(0, tokens_n, torch.cat(parts))


def routed(logits_te: Tensor, experts_per_token: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """By what each token's input is multiplied for each of its experts, and which those are."""
    kept_tk, chosen_tk = torch.topk(logits_te, experts_per_token, dim=1)
    return kept_tk.sigmoid().to(dtype), chosen_tk


def _by_expert(chosen_tk: Tensor) -> tuple[list[int], Tensor]:
    """How many places each expert was chosen for, and the places n = t * k in the order of their experts."""
    flat_n = chosen_tk.flatten()
    return flat_n.bincount().tolist(), flat_n.argsort(stable=True)


def _gated(x_tD: Tensor, gate_up_gD: Matrix, down_Df: Matrix, adapted: Adapted = UNCHANGED) -> Tensor:
    gate_tf, up_tf = adapted.add(Place.GATE_UP, times(x_tD, gate_up_gD), x_tD).chunk(2, dim=-1)
    x_tf = F.silu(gate_tf) * up_tf
    return adapted.add(Place.DOWN, times(x_tf, down_Df), x_tf)
