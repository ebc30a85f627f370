"""The steps that weights of four bits are multiples of, found again where they were rounded before.

Whoever reduced a checkpoint chose the steps; another grid would move every weight a second time. Checkpoints are read
into wide numbers, so whether they were reduced, and in groups of how many, shows in the numbers alone.

Shapes: o outputs, g groups of inputs, n inputs of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLED = 64
"""Rows that tell whether weights were four bits before."""
ON_GRID = 0.05
"""Of a step: what is nearer than that was rounded to 16 bits on its way, no more."""
TINY = 1e-12


def steps_of(grouped_ogn: Tensor) -> Tensor:
    """The size of a step for each group: of the grid that it is on, or a seventh of its largest weight.

    Whether they are on grids shows in the first rows.
    """
    most_og = grouped_ogn.abs().amax(dim=2)
    if not is_on_grid(grouped_ogn):
        return most_og / 7
    step_og, fits_og = _grid(grouped_ogn, most_og)
    return torch.where(fits_og, step_og, most_og / 7)


def is_on_grid(grouped_ogn: Tensor) -> bool:
    """Whether the weights of each group in the first rows are -8 to 7 times something."""
    sampled = grouped_ogn[:SAMPLED]
    return bool(_grid(sampled, sampled.abs().amax(dim=2))[1].all())


def _grid(grouped_ogn: Tensor, most_og: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of most/8 … most/1 of which all weights are -8 to 7 times, and whether there is one."""
    step_og, fits_og = most_og, torch.zeros_like(most_og, dtype=torch.bool)
    for steps in range(8, 0, -1):
        one_og = (most_og / steps).clamp_min(TINY)
        ratio_ogn = grouped_ogn / one_og[..., None]
        off_og = (ratio_ogn - ratio_ogn.round()).abs().amax(dim=2)
        fit_og = (off_og < ON_GRID) & (ratio_ogn.amax(dim=2) < 7.5)
        step_og, fits_og = torch.where(fit_og, one_og, step_og), fits_og | fit_og
    return step_og, fits_og
