"""What can go wrong between a worker and its lead."""

from __future__ import annotations

from gateway.errors import Unavailable


class WireError(Exception):
    """The other side sent what is no message, or one that is too large. The line is cut: nothing after it is sure."""


class LineBrokenError(Unavailable):
    """Nobody knows whether what was asked has happened. No record, no answer."""

    def __init__(self) -> None:
        super().__init__("audit_unavailable", "the audit log cannot record this exchange")
