"""What a model has done since the start, as plain numbers that any thread may read.

The engine threads add; whoever answers `/metrics` reads. A number that is one step old is good enough, so nothing is
locked.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

STEP_SIZES = (1, 4, 16, 64, 128, 256)
"""Upper bounds of the counted batch sizes, in tokens; larger ones come after."""


@dataclass(slots=True)
class Counters:
    """Totals of one model."""

    computed_tokens: int = 0
    """Tokens that went through the model."""
    reused_tokens: int = 0
    """Tokens that did not have to: a prompt's known beginning, or a text that is in the batch already."""
    recomputed_tokens: int = 0
    """Of those that went through, the ones that had before: their sequence had to yield."""
    preempted: int = 0
    """How often a sequence had to yield."""
    steps: int = 0
    failed_steps: int = 0
    step_sizes: list[int] = field(default_factory=lambda: [0] * (len(STEP_SIZES) + 1))
    """Steps by their number of tokens."""

    def stepped(self, tokens: int) -> None:
        self.steps += 1
        self.computed_tokens += tokens
        self.step_sizes[bisect_left(STEP_SIZES, tokens)] += 1
