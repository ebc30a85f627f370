"""Why a head was not anchored.

    AnchorError   this attempt failed; the next one comes by itself. `.code` says why, `.is_alarm` whether somebody has
                  to look now: the other side holds a history that is not this log's

Codes: anchor_unreachable, anchor_refused, anchor_unverified, anchor_not_ready, anchor_unwritable; alarms: anchor_fork,
anchor_ahead.
"""

from __future__ import annotations

ALARMS = frozenset({"anchor_fork", "anchor_ahead"})


class AnchorError(Exception):
    """A head is not where it should be. The log goes on; the anchor's age grows."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code

    @property
    def is_alarm(self) -> bool:
        """Whether the other side contradicts this log."""
        return self.code in ALARMS
