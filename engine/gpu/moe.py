"""The mixture of experts without asking the device how many tokens an expert got.

The loop on processors (engine/model/moe.py) leaves out experts without a token, so it has to know the counts, and on a
GPU every such question stops the host until the device has caught up. Here the tokens are sorted by their experts, and
where each expert's rows end stays a tensor on the device: shapes depend on the number of tokens alone, so a captured
graph can hold it. Sums over a token's experts are in their order, never by atomic additions: the same each time.
Where tokens are few, launches and not weights are the time, and the shared expert is multiplied beside the others.

Shapes: t tokens, D hidden, n places: one for each token and each of its experts.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

from engine.gpu.between import Added, Spread, gated, spread, spread_beside
from engine.matrix import times
from engine.model.low_rank import UNCHANGED, Adapted
from engine.model.moe import mlp
from engine.weights import GroupedMoe

BESIDE: Final = 8
"""Up to so many rows one tile of the kernel holds all that the shared expert gets."""


def grouped_moe(x_tD: Tensor, weights: GroupedMoe, experts_per_token: int, adapted: Adapted = UNCHANGED) -> Tensor:
    """What `moe` computes. Adapters add to the shared expert; the routed ones are the base model's."""
    found_nD, place_n = by_experts(x_tD, weights, experts_per_token)
    return mlp(x_tD, weights.shared, adapted).add_(found_nD[place_n].view(len(x_tD), -1, x_tD.shape[1]).sum(1))


def added_by(x_tD: Tensor, weights: GroupedMoe, experts_per_token: int) -> Added:
    """The same, not added up yet."""
    if len(x_tD) <= BESIDE and experts_per_token == 1:
        sent = spread_beside(x_tD, times(x_tD, weights.router))
        return Added(None, _through(sent, weights), sent.place_n)
    shared_tD = times(gated(times(x_tD, weights.shared.gate_up)), weights.shared.down)
    return Added(shared_tD, *by_experts(x_tD, weights, experts_per_token))


def by_experts(x_tD: Tensor, weights: GroupedMoe, experts_per_token: int) -> tuple[Tensor, Tensor]:
    """What the routed experts make of the tokens, and where each token's rows are."""
    sent = spread(x_tD, times(x_tD, weights.router), experts_per_token)
    return _through(sent, weights), sent.place_n


def _through(sent: Spread, weights: GroupedMoe) -> Tensor:
    return weights.down.times(gated(weights.gate_up.times(sent.rows_nD, sent.ends_e)), sent.ends_e)
