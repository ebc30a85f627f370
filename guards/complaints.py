"""Why a guard gave no verdict, in the operational log: a record has the kind of an error, not what was wrong.

Said at once, then for the same detector and kind at most once a minute with how often it came since: a guard that is
away fails every request, and who looks for the reason needs one line. What is kept is bounded by detectors and kinds.
Problems are our own sentences and hold nothing of what was judged or answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from guards.errors import ErrorKind

PAUSE_S = 60.0


class Complaints:
    """Of one process, over all policies that come into force in it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._said: dict[tuple[str, ErrorKind], tuple[float, int]] = {}
        """When a line was last written, and how many were not since."""

    def __call__(self, detector: str, kind: ErrorKind, problem: str) -> None:
        now, place = self._now(), (detector, kind)
        last, kept_back = self._said.get(place, (now - PAUSE_S, 0))
        if now - last < PAUSE_S:
            self._said[place] = (last, kept_back + 1)
            return
        self._said[place] = (now, 0)
        structlog.get_logger("guards").warning(
            "guard_gave_no_verdict", detector=detector, kind=str(kind), problem=problem, times=kept_back + 1
        )
