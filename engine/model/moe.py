"""Feed-forward parts: the dense MLP, and the mixture of experts with its shared expert.

Llama 4 routes on the logits' top k and multiplies the sigmoid of each kept logit into the expert's *input*; it is not
a softmax and not renormalised. Only experts that got a token are computed: reading all of them for every token is
what makes the reference implementation slow.

Shapes: t tokens, D hidden, e experts, g = 2f gate and up, f expert width, k experts per token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.model.low_rank import UNCHANGED, Adapted, Place
from engine.weights import Mlp, Moe


def mlp(x_tD: Tensor, weights: Mlp, adapted: Adapted = UNCHANGED) -> Tensor:
    return _gated(x_tD, weights.gate_up, weights.down, adapted)


def moe(x_tD: Tensor, weights: Moe, experts_per_token: int, adapted: Adapted = UNCHANGED) -> Tensor:
    """Adapters add to the shared expert; the routed ones are the base model's."""
    logits_te = F.linear(x_tD, weights.router_eD)
    kept_tk, chosen_tk = torch.topk(logits_te, experts_per_token, dim=1)
    scale_tk = kept_tk.float().sigmoid().to(x_tD.dtype)
    out_tD = mlp(x_tD, weights.shared, adapted)
    for expert, (tokens, slots) in _by_expert(chosen_tk).items():
        scaled = x_tD[tokens] * scale_tk[tokens, slots, None]
        out_tD.index_add_(0, tokens, _gated(scaled, weights.gate_up_egD[expert], weights.down_eDf[expert]))
    return out_tD


def _by_expert(chosen_tk: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """For each expert that was chosen: the rows that chose it, and in which of their k places."""
    k = chosen_tk.shape[1]
    flat = chosen_tk.flatten()
    order = flat.argsort(stable=True)
    groups, begin = {}, 0
    for expert, count in enumerate(flat.bincount().tolist()):
        places = order[begin : begin + count]
        begin += count
        if count:
            groups[expert] = (places // k, places % k)
    return groups


def _gated(x_tD: Tensor, gate_up_gD: Tensor, down_Df: Tensor, adapted: Adapted = UNCHANGED) -> Tensor:
    gate_tf, up_tf = adapted.add(Place.GATE_UP, F.linear(x_tD, gate_up_gD), x_tD).chunk(2, dim=-1)
    x_tf = F.silu(gate_tf) * up_tf
    return adapted.add(Place.DOWN, F.linear(x_tf, down_Df), x_tf)
