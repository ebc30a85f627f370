"""Time and process identity for records, behind a seam so that a log can be reproduced byte for byte in a test."""

from __future__ import annotations

import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """Reads time. Never sleeps, never fails."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, UTC. May step backwards; the log notices and says so in a record."""

    def mono_ns(self) -> int:
        """Nanoseconds that only grow while this process lives."""

    def new_boot(self) -> str:
        """A fresh identifier for one run of the writer."""


class SystemClock:
    """The clocks of the machine."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def new_boot(self) -> str:
        return str(uuid.uuid4())
