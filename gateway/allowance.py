"""So many at once, then so many a second: what a stranger can make somebody write is bounded, and what was left out is
counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """A bucket that fills by itself. Used by one thread."""

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_s, self._clock = burst, per_s, clock
        self._left, self._looked_at = burst, clock()
        self.left_out = 0
        """How many were refused and have not been told of."""

    def take(self) -> bool:
        """Whether one more may be; one that may not is counted."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._looked_at) * self._per_s)
        self._looked_at = now
        if self._left < 1:
            self.left_out += 1
            return False
        self._left -= 1
        return True

    def told(self) -> int:
        """How many were left out since the last telling."""
        count, self.left_out = self.left_out, 0
        return count
