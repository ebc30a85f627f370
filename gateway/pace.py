"""How much new text makes a window, from how fast it comes and how long judging takes. Pure: told, without a clock.

A small window shows text early; each window costs a judging. So windows are as small as the policy allows while guards
are quick, and grow with the text that comes during one judging when they are not: at twice that, a guard is busy half
of the time and judging never falls behind. A promised delay makes them smaller again. Nothing seen here, however odd,
leads out of the bounds that the policy states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

_MEMORY_S: Final = 1.0
"""Text older than this counts little in the speed seen: a model that slows down is noticed within a second or two."""
_JUDGED: Final = 0.3
"""Weight of the newest judging in the mean."""
_FASTEST: Final = 1e9
"""Characters per second; more is a clock that stood still."""
_BUSY: Final = 0.5
"""Share of the time that an answer may keep its guards busy before its windows grow."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the policy allows. Sizes in characters."""

    least: int
    most: int
    holdback: int = 0
    delay_s: float = math.inf
    """Within this time text should have left."""

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most or self.holdback < 0 or not self.delay_s > 0:
            raise ValueError("window bounds are not in order, expected 1 <= least <= most and a delay above 0")


@dataclass(frozen=True, slots=True)
class Pace:
    """What was seen so far of one answer. Every observation gives a new one."""

    bounds: Bounds
    chars_per_s: float = 0.0
    """Mean decoding speed; 0 until text came twice."""
    judge_s: float = 0.0
    """Mean time of a judging, with its record; 0 until there was one."""
    judgings: int = 0

    def heard(self, chars: int, seconds: float) -> Pace:
        """`chars` came in the `seconds` since text came before. Zero seconds say nothing about speed."""
        if not (0 < seconds < math.inf and chars >= 0):
            return self
        rate, weight = min(chars / seconds, _FASTEST), -math.expm1(-seconds / _MEMORY_S)
        if self.chars_per_s == 0.0:
            return replace(self, chars_per_s=rate)
        return replace(self, chars_per_s=self.chars_per_s + weight * (rate - self.chars_per_s))

    def judged(self, seconds: float) -> Pace:
        """A window took this long to be judged and recorded."""
        if not 0 <= seconds < math.inf:
            return self
        mean = seconds if self.judgings == 0 else self.judge_s + _JUDGED * (seconds - self.judge_s)
        return replace(self, judge_s=mean, judgings=self.judgings + 1)

    @property
    def window(self) -> int:
        """New text that is due for judging, inside the bounds."""
        bounds = self.bounds
        wanted = self.chars_per_s * self.judge_s / _BUSY
        in_time = self.chars_per_s * self.spare_s - bounds.holdback if self.chars_per_s else math.inf
        return int(min(max(min(wanted, in_time), bounds.least), bounds.most))

    @property
    def expected_s(self) -> float:
        """How long the next judging will take; before the first one, a careful share of the promised delay."""
        return self.judge_s if self.judgings or self.bounds.delay_s == math.inf else self.bounds.delay_s / 4

    @property
    def spare_s(self) -> float:
        """How old text may be when its judging begins, for it to leave within the promised delay."""
        return max(0.0, self.bounds.delay_s - self.expected_s)
