"""A broken line is an outage of the audit log, for whoever waits."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.worker.errors import LineBrokenError


def test_a_broken_line_is_answered_as_an_outage_of_the_log() -> None:
    error = LineBrokenError()
    assert isinstance(error, GatewayError)
    assert (error.status, error.code) == (503, "audit_unavailable")
