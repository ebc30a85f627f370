"""The mixture of experts without asking the device how many tokens an expert got.

The loop on processors (engine/model/moe.py) leaves out experts without a token, so it has to know the counts, and on a
GPU every such question stops the host until the device has caught up. Here the tokens are sorted by their experts, and
where each expert's rows end stays a tensor on the device: shapes depend on the number of tokens alone, so a captured
graph can hold it. Sums over a token's experts are in their order, never by atomic additions: the same each time.

Shapes: t tokens, D hidden, e experts, k experts per token, n = t * k places, one for each token and each of its
experts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.model.low_rank import UNCHANGED, Adapted
from engine.model.moe import mlp, routed
from engine.weights import GroupedMoe


def grouped_moe(x_tD: Tensor, weights: GroupedMoe, experts_per_token: int, adapted: Adapted = UNCHANGED) -> Tensor:
    """What `moe` computes. Adapters add to the shared expert; the routed ones are the base model's."""
    scale_tk, chosen_tk = routed(x_tD, weights.router_eD, experts_per_token)
    expert_n, order_n = chosen_tk.flatten().sort(stable=True)
    ends_e = ends(expert_n, len(weights.router_eD))
    scaled_nD = x_tD[order_n // experts_per_token] * scale_tk.flatten()[order_n, None]
    gate_nf, up_nf = weights.gate_up.times(scaled_nD, ends_e).chunk(2, dim=-1)
    found_nD = weights.down.times(F.silu(gate_nf) * up_nf, ends_e)
    back_n = torch.empty_like(order_n)
    back_n[order_n] = torch.arange(len(order_n), device=order_n.device)
    return mlp(x_tD, weights.shared, adapted).add_(found_nD[back_n].view(*chosen_tk.shape, -1).sum(1))


def ends(expert_n: Tensor, experts: int) -> Tensor:
    """Of sorted experts: behind which row each one's rows end, int32 [e]."""
    every_e = torch.arange(experts, device=expert_n.device)
    return torch.searchsorted(expert_n, every_e, right=True, out_int32=True)
